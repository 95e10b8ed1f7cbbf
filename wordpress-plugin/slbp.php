<?php
/**
 * Plugin Name: SLBP
 */
