<?php

/**
 * The exceptions of slbp. For IDEs and static analysis; never loaded at runtime.
 */

/** Base of every exception that slbp throws. */
class SLBP_Exception extends RuntimeException
{
}

/** The caller passed something the contract does not allow; the message names the argument and what was expected. */
class SLBP_InvalidArgumentException extends SLBP_Exception
{
}

/** A php.ini directive, constant or option is missing or wrong; the message names it. */
class SLBP_Config_Exception extends SLBP_Exception
{
}

/** The cache could not do its work. */
class SLBP_Cache_Exception extends SLBP_Exception
{
}

/** The task queue could not do its work. */
class SLBP_Queue_Exception extends SLBP_Exception
{
}

/** A backup or a restore could not be done. */
class SLBP_Backup_Exception extends SLBP_Exception
{
}

/** The rate limiter could not do its work. */
class SLBP_Rate_Limit_Exception extends SLBP_Exception
{
}
