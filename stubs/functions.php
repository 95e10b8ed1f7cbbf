<?php

/**
 * The functions of slbp. For IDEs and static analysis; never loaded at runtime.
 */

/** The version of the extension, e.g. "0.1.0". */
function slbp_version(): string
{
}

/**
 * The state of the shared segment and of the backends.
 *
 * @return array<string, mixed>
 */
function slbp_info(): array
{
}
