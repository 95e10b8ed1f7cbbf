<?php
/**
 * SLBP drop-in: WordPress' object cache in the memory that all workers share, with Redis or Memcached behind it.
 *
 * One self-contained file: copied to wp-content it works with or without the plugin. It keeps what a
 * request has read or written (as core's cache does), the non-persistent groups and the prefixes of
 * a multisite; everything else is SLBP_Object_Cache. Where that cannot be had, nothing is defined
 * here and WordPress loads its own cache.
 *
 * Version: 0.1.0
 *
 * @package SLBP
 */

if ( ! defined( 'ABSPATH' ) ) {
	exit;
}

/**
 * The native cache, opened once a request; null where there is none, and administrators are told why.
 */
function slbp_native_object_cache() {
	static $native = false;
	if ( false === $native ) {
		$native = null;
		try {
			$reason = slbp_object_cache_obstacle();
			$native = '' === $reason ? new SLBP_Object_Cache() : null;
		} catch ( Throwable $error ) {
			$reason = $error->getMessage();
			error_log( "SLBP: the object cache is off: $reason" );
		}
		if ( null === $native ) {
			add_action(
				'admin_notices',
				static function () use ( $reason ) {
					slbp_show_object_cache_notice( $reason );
				}
			);
		}
	}
	return $native;
}

/**
 * What keeps the native cache from being tried at all, as a sentence; '' when nothing does.
 */
function slbp_object_cache_obstacle() {
	if ( defined( 'SLBP_CACHE_DISABLED' ) && SLBP_CACHE_DISABLED ) {
		return 'SLBP_CACHE_DISABLED is set in wp-config.php.';
	}
	return method_exists( 'SLBP_Object_Cache', 'backend' ) ? '' : 'The PHP extension slbp is not loaded, or is too old.';
}

/**
 * On admin_notices: the site works, but without a cache that outlives the request.
 */
function slbp_show_object_cache_notice( $reason ) {
	if ( current_user_can( 'manage_options' ) ) {
		printf(
			'<div class="notice notice-warning"><p><strong>The SLBP object cache is not in use.</strong> %s WordPress goes on with its own cache.</p></div>',
			esc_html( $reason )
		);
	}
}

if ( null !== slbp_native_object_cache() ) :

	/**
	 * Sets up the cache of this request.
	 */
	function wp_cache_init() {
		$GLOBALS['wp_object_cache'] = new WP_Object_Cache();
		// A request that has just looked for the option in vain must not record that it is missing.
		add_action(
			'added_option',
			static function () {
				wp_cache_delete( 'notoptions', 'options' );
			}
		);
	}

	/**
	 * Adds data if the key has none.
	 */
	function wp_cache_add( $key, $data, $group = '', $expire = 0 ) {
		return $GLOBALS['wp_object_cache']->add( $key, $data, $group, (int) $expire );
	}

	/**
	 * Adds several values, each if its key has none.
	 */
	function wp_cache_add_multiple( array $data, $group = '', $expire = 0 ) {
		return $GLOBALS['wp_object_cache']->add_multiple( $data, $group, (int) $expire );
	}

	/**
	 * Replaces data if the key has some.
	 */
	function wp_cache_replace( $key, $data, $group = '', $expire = 0 ) {
		return $GLOBALS['wp_object_cache']->replace( $key, $data, $group, (int) $expire );
	}

	/**
	 * Stores data.
	 */
	function wp_cache_set( $key, $data, $group = '', $expire = 0 ) {
		return $GLOBALS['wp_object_cache']->set( $key, $data, $group, (int) $expire );
	}

	/**
	 * Stores several values.
	 */
	function wp_cache_set_multiple( array $data, $group = '', $expire = 0 ) {
		return $GLOBALS['wp_object_cache']->set_multiple( $data, $group, (int) $expire );
	}

	/**
	 * Reads a value; false when there is none.
	 */
	function wp_cache_get( $key, $group = '', $force = false, &$found = null ) {
		return $GLOBALS['wp_object_cache']->get( $key, $group, $force, $found );
	}

	/**
	 * Reads several values.
	 */
	function wp_cache_get_multiple( $keys, $group = '', $force = false ) {
		return $GLOBALS['wp_object_cache']->get_multiple( $keys, $group, $force );
	}

	/**
	 * Deletes a value.
	 */
	function wp_cache_delete( $key, $group = '' ) {
		return $GLOBALS['wp_object_cache']->delete( $key, $group );
	}

	/**
	 * Deletes several values.
	 */
	function wp_cache_delete_multiple( array $keys, $group = '' ) {
		return $GLOBALS['wp_object_cache']->delete_multiple( $keys, $group );
	}

	/**
	 * Adds to a number.
	 */
	function wp_cache_incr( $key, $offset = 1, $group = '' ) {
		return $GLOBALS['wp_object_cache']->incr( $key, $offset, $group );
	}

	/**
	 * Takes from a number.
	 */
	function wp_cache_decr( $key, $offset = 1, $group = '' ) {
		return $GLOBALS['wp_object_cache']->decr( $key, $offset, $group );
	}

	/**
	 * Forgets everything of this site, in every process and on every host.
	 */
	function wp_cache_flush() {
		return $GLOBALS['wp_object_cache']->flush();
	}

	/**
	 * Forgets what this request holds, and nothing that is shared.
	 */
	function wp_cache_flush_runtime() {
		return $GLOBALS['wp_object_cache']->flush_runtime();
	}

	/**
	 * Forgets everything in a group.
	 */
	function wp_cache_flush_group( $group ) {
		return $GLOBALS['wp_object_cache']->flush_group( $group );
	}

	/**
	 * Whether the cache has a feature.
	 */
	function wp_cache_supports( $feature ) {
		return in_array( $feature, array( 'add_multiple', 'set_multiple', 'get_multiple', 'delete_multiple', 'flush_runtime', 'flush_group' ), true );
	}

	/**
	 * The request is over.
	 */
	function wp_cache_close() {
		return $GLOBALS['wp_object_cache']->close();
	}

	/**
	 * Names groups that all sites of a network share.
	 */
	function wp_cache_add_global_groups( $groups ) {
		$GLOBALS['wp_object_cache']->add_global_groups( $groups );
	}

	/**
	 * Names groups that end with the request.
	 */
	function wp_cache_add_non_persistent_groups( $groups ) {
		$GLOBALS['wp_object_cache']->add_non_persistent_groups( $groups );
	}

	/**
	 * Goes on as another site of the network.
	 */
	function wp_cache_switch_to_blog( $blog_id ) {
		$GLOBALS['wp_object_cache']->switch_to_blog( $blog_id );
	}

	/**
	 * Deprecated since WordPress 3.5.
	 */
	function wp_cache_reset() {
		_deprecated_function( __FUNCTION__, '3.5.0', 'wp_cache_switch_to_blog()' );
		$GLOBALS['wp_object_cache']->reset();
	}

	/**
	 * The cache of one request, with the interface of core's class.
	 *
	 * `$cache` is what the request has seen, group by group: reads are answered from it until `$force`
	 * or a flush. Writes go to both.
	 */
	#[AllowDynamicProperties]
	class WP_Object_Cache {
		/** Groups whose truth is in the database, so that a value in doubt may always be deleted. */
		const OPTIONS = array(
			'options'      => true,
			'site-options' => true,
		);

		/** @var int Reads that were answered. */
		public $cache_hits = 0;

		/** @var int Reads that were not. */
		public $cache_misses = 0;

		/** @var array Groups without a blog's prefix, as keys. */
		protected $global_groups = array();

		/** @var array Groups that end with the request, as keys. */
		protected $non_persistent_groups = array();

		/** @var array Values by group and id; the id is the key with the blog's prefix. */
		private $cache = array();

		/** @var string The prefix of ids: "2:" in the second blog of a network, else ''. */
		private $blog_prefix;

		/** @var bool Whether this is a network. */
		private $multisite;

		/** @var SLBP_Object_Cache What is shared with the other requests. */
		private $native;

		/** @var bool Whether a server stands behind the memory of this host. */
		private $has_server;

		/** @var SLBP_Cache_Prefetch What was fetched ahead. */
		private $prefetch;

		/** @var SLBP_Cache_Ticket How the command line tells php-fpm. */
		private $ticket;

		/** @var SLBP_Shared_Option[][] What is known of options, by group and id. */
		private $options = array();

		/**
		 * Fetches ahead what requests of this kind use.
		 */
		public function __construct() {
			$this->native      = slbp_native_object_cache();
			$this->multisite   = is_multisite();
			$this->blog_prefix = $this->multisite ? get_current_blog_id() . ':' : '';
			$this->has_server  = 'shm' !== $this->native->backend();
			$this->ticket      = new SLBP_Cache_Ticket( $this->native, $this->has_server );
			$this->prefetch    = new SLBP_Cache_Prefetch( $this->native, $this->has_server, $this->blog_prefix );
		}

		/**
		 * As in core's class, properties can be read whatever their visibility.
		 */
		public function __get( $name ) {
			return $this->$name;
		}

		/**
		 * See __get().
		 */
		public function __set( $name, $value ) {
			$this->$name = $value;
		}

		/**
		 * See __get().
		 */
		public function __isset( $name ) {
			return isset( $this->$name );
		}

		/**
		 * See __get().
		 */
		public function __unset( $name ) {
			unset( $this->$name );
		}

		/**
		 * Stores a value if there is none, here or in any other request.
		 */
		public function add( $key, $data, $group = 'default', $expire = 0 ) {
			if ( wp_suspend_cache_addition() || ! $this->is_valid_key( $key ) ) {
				return false;
			}
			$group = empty( $group ) ? 'default' : $group;
			$id    = $this->id( $key, $group );
			$held  = $this->_exists( $id, $group );
			$added = ! $held && $this->share( 'add', $id, $data, $group, $expire );
			// Options that are too many to be shared are kept at least for this request, as WordPress itself does: or
			// each get_option() would read them all again. Whatever else is refused may be somebody's lock.
			if ( $added || ( ! $held && isset( self::OPTIONS[ $group ] ) ) ) {
				$this->hold( $id, $data, $group );
			}
			return $added;
		}

		/**
		 * Adds each of several values; whether each was, by key.
		 */
		public function add_multiple( array $data, $group = '', $expire = 0 ) {
			return wp_suspend_cache_addition()
				? array_fill_keys( array_keys( $data ), false )
				: $this->store_multiple( 'add', $data, $group, $expire );
		}

		/**
		 * Stores a value if there is one.
		 */
		public function replace( $key, $data, $group = 'default', $expire = 0 ) {
			if ( ! $this->is_valid_key( $key ) ) {
				return false;
			}
			$group    = empty( $group ) ? 'default' : $group;
			$id       = $this->id( $key, $group );
			$replaced = $this->is_local( $group ) ? $this->_exists( $id, $group ) : $this->share( 'replace', $id, $data, $group, $expire );
			if ( $replaced ) {
				$this->hold( $id, $data, $group );
			} else {
				$this->drop( $id, $group );
			}
			return $replaced;
		}

		/**
		 * Stores a value.
		 */
		public function set( $key, $data, $group = 'default', $expire = 0 ) {
			if ( ! $this->is_valid_key( $key ) ) {
				return false;
			}
			$group = empty( $group ) ? 'default' : $group;
			$id    = $this->id( $key, $group );
			if ( 'last_changed' === $key && ! $this->is_local( $group ) ) {
				$data = $this->later_than_shared( $id, $data, $group );
			}
			$stored = $this->share( 'set', $id, $data, $group, $expire );
			$this->hold( $id, $data, $group );
			return $stored;
		}

		/**
		 * Stores several values; whether each was, by key.
		 */
		public function set_multiple( array $data, $group = '', $expire = 0 ) {
			return $this->store_multiple( 'set', $data, $group, $expire );
		}

		/**
		 * A value; false when there is none.
		 */
		public function get( $key, $group = 'default', $force = false, &$found = null ) {
			if ( ! $this->is_valid_key( $key ) ) {
				return false;
			}
			$group = empty( $group ) ? 'default' : $group;
			$id    = $this->multisite ? $this->id( $key, $group ) : $key;
			if ( $force || ! isset( $this->cache[ $group ][ $id ] ) ) {
				$this->load( array( $id ), $group, $force );
			}
			return $this->answer( $id, $group, $found );
		}

		/**
		 * Several values by key, false for each that is missing. What is not here yet is fetched at once.
		 */
		public function get_multiple( $keys, $group = 'default', $force = false ) {
			$group  = empty( $group ) ? 'default' : $group;
			$ids    = $this->ids( $keys, $group, 'get' );
			$values = array();
			$this->load( $ids, $group, $force );
			foreach ( $keys as $key ) {
				$values[ $key ] = isset( $ids[ $key ] ) ? $this->answer( $ids[ $key ], $group ) : false;
			}
			return $values;
		}

		/**
		 * Deletes a value; whether there was one.
		 */
		public function delete( $key, $group = 'default', $deprecated = false ) {
			if ( ! $this->is_valid_key( $key ) ) {
				return false;
			}
			return $this->delete_multiple( array( $key ), $group )[ $key ];
		}

		/**
		 * Deletes several values; whether there was one, by key.
		 */
		public function delete_multiple( array $keys, $group = '' ) {
			$group = empty( $group ) ? 'default' : $group;
			$ids   = $this->ids( $keys, $group, 'delete' );
			$there = array();
			if ( ! $this->is_local( $group ) && array() !== $ids ) {
				$there = $this->native->delete_multiple( (string) $group, array_values( $ids ) );
				$this->ticket->changed();
			}
			$deleted = array();
			foreach ( $keys as $key ) {
				$deleted[ $key ] = isset( $ids[ $key ] ) && ( $this->drop( $ids[ $key ], $group ) || ! empty( $there[ $ids[ $key ] ] ) );
			}
			return $deleted;
		}

		/**
		 * Adds to a number, which does not go below 0; the sum, or false when there is no value.
		 */
		public function incr( $key, $offset = 1, $group = 'default' ) {
			if ( ! $this->is_valid_key( $key ) ) {
				return false;
			}
			$group  = empty( $group ) ? 'default' : $group;
			$id     = $this->id( $key, $group );
			$offset = (int) $offset;
			$sum    = $this->is_local( $group ) ? false : $this->native->increment( (string) $group, (string) $id, $offset );
			if ( false === $sum ) {
				return $this->add_to_other( $id, $offset, $group );
			}
			$this->ticket->changed();
			$this->hold( $id, $sum, $group );
			return $sum;
		}

		/**
		 * Takes from a number.
		 */
		public function decr( $key, $offset = 1, $group = 'default' ) {
			return $this->is_valid_key( $key ) ? $this->incr( $key, - (int) $offset, $group ) : false;
		}

		/**
		 * Forgets everything of this site, everywhere.
		 */
		public function flush() {
			$this->flush_runtime();
			$this->ticket->changed();
			return $this->native->flush();
		}

		/**
		 * Forgets what this request holds.
		 */
		public function flush_runtime() {
			$this->cache   = array();
			$this->options = array();
			$this->prefetch->clear();
			return true;
		}

		/**
		 * Forgets a group, in all blogs.
		 */
		public function flush_group( $group ) {
			unset( $this->cache[ $group ], $this->options[ $group ] );
			$this->prefetch->clear( $group );
			if ( $this->is_local( $group ) ) {
				return true;
			}
			$this->ticket->changed();
			return $this->native->flush_group( (string) $group );
		}

		/**
		 * See wp_cache_add_global_groups().
		 */
		public function add_global_groups( $groups ) {
			$this->global_groups = array_merge( $this->global_groups, array_fill_keys( (array) $groups, true ) );
		}

		/**
		 * See wp_cache_add_non_persistent_groups().
		 */
		public function add_non_persistent_groups( $groups ) {
			$this->non_persistent_groups = array_merge( $this->non_persistent_groups, array_fill_keys( (array) $groups, true ) );
		}

		/**
		 * See wp_cache_switch_to_blog().
		 */
		public function switch_to_blog( $blog_id ) {
			$this->blog_prefix = $this->multisite ? (int) $blog_id . ':' : '';
		}

		/**
		 * See wp_cache_reset().
		 */
		public function reset() {
			_deprecated_function( __FUNCTION__, '3.5.0', 'WP_Object_Cache::switch_to_blog()' );
			$this->cache = array_intersect_key( $this->cache, $this->global_groups );
		}

		/**
		 * See wp_cache_close().
		 */
		public function close() {
			$this->prefetch->learn();
			$this->ticket->close();
			return true;
		}

		/**
		 * Prints what debugging tools show.
		 */
		public function stats() {
			printf( '<p><strong>Cache Hits:</strong> %d<br /><strong>Cache Misses:</strong> %d<br /></p><ul>', $this->cache_hits, $this->cache_misses );
			foreach ( $this->cache as $group => $values ) {
				printf( '<li><strong>Group:</strong> %s - ( %s values )</li>', esc_html( $group ), number_format( count( $values ) ) );
			}
			echo '</ul>';
		}

		/**
		 * Whether a key may be used; a programmer is told when not, in core's words.
		 */
		protected function is_valid_key( $key, $method = null ) {
			if ( is_int( $key ) || ( is_string( $key ) && '' !== trim( $key ) ) ) {
				return true;
			}
			if ( ! function_exists( '__' ) ) {
				wp_load_translations_early();
			}
			$message = is_string( $key )
				? __( 'Cache key must not be an empty string.' )
				/* translators: %s: The type of the given cache key. */
				: sprintf( __( 'Cache key must be an integer or a non-empty string, %s given.' ), gettype( $key ) );
			$method  = $method ?? debug_backtrace( DEBUG_BACKTRACE_IGNORE_ARGS, 2 )[1]['function'];
			_doing_it_wrong( sprintf( '%s::%s', __CLASS__, $method ), $message, '6.1.0' );
			return false;
		}

		/**
		 * Whether this request holds a value.
		 */
		protected function _exists( $id, $group ) {
			return isset( $this->cache[ $group ][ $id ] ) || ( isset( $this->cache[ $group ] ) && array_key_exists( $id, $this->cache[ $group ] ) );
		}

		/**
		 * The key with the prefix of the blog it belongs to.
		 */
		private function id( $key, $group ) {
			return $this->multisite && ! isset( $this->global_groups[ $group ] ) ? $this->blog_prefix . $key : $key;
		}

		/**
		 * The ids of those of `$keys` that are valid, by key.
		 */
		private function ids( $keys, $group, $method ) {
			$ids = array();
			foreach ( $keys as $key ) {
				if ( $this->is_valid_key( $key, $method ) ) {
					$ids[ $key ] = $this->id( $key, $group );
				}
			}
			return $ids;
		}

		/**
		 * Whether a group ends with the request.
		 */
		private function is_local( $group ) {
			return isset( $this->non_persistent_groups[ $group ] );
		}

		/**
		 * Keeps a value for the rest of the request; objects as copies, so that a caller's later changes stay its own.
		 */
		private function hold( $id, $data, $group ) {
			$this->cache[ $group ][ $id ] = is_object( $data ) ? clone $data : $data;
		}

		/**
		 * Keeps a value no longer; whether there was one.
		 */
		private function drop( $id, $group ) {
			$held = $this->_exists( $id, $group );
			unset( $this->cache[ $group ][ $id ], $this->options[ $group ][ $id ] );
			$this->prefetch->drop( $id, $group );
			return $held;
		}

		/**
		 * What this request holds, counted as a hit or a miss.
		 */
		private function answer( $id, $group, &$found = null ) {
			$found = $this->_exists( $id, $group );
			if ( ! $found ) {
				++$this->cache_misses;
				return false;
			}
			++$this->cache_hits;
			$value = $this->cache[ $group ][ $id ];
			return is_object( $value ) ? clone $value : $value;
		}

		/**
		 * Brings values here that this request does not hold yet, or all of them by `$force`: in one round trip.
		 */
		private function load( $ids, $group, $force ) {
			$unknown = array();
			foreach ( $this->is_local( $group ) ? array() : $ids as $id ) {
				if ( ! $force && $this->prefetch->has( $id, $group, $value ) ) {
					$this->take( $id, $group, true, $value );
				} elseif ( $force || ! $this->_exists( $id, $group ) ) {
					$unknown[] = $id;
				}
			}
			if ( isset( self::OPTIONS[ $group ] ) || ! $this->has_server ) {
				$this->fetch_each( $unknown, $group, $force );
			} else {
				$this->fetch( $unknown, $group );
			}
		}

		/**
		 * Asks the shared cache, in one round trip.
		 */
		private function fetch( $ids, $group ) {
			try {
				$values = count( $ids ) < 2 ? null : $this->native->get_multiple( (string) $group, $ids );
			} catch ( Throwable $error ) {
				$values = null; // One of them cannot be built: it is found below.
			}
			if ( null === $values ) {
				$this->fetch_each( $ids, $group, false );
				return;
			}
			foreach ( $ids as $id ) {
				$this->take( $id, $group, array_key_exists( $id, $values ), $values[ $id ] ?? false );
			}
		}

		/**
		 * Asks one by one. Of a single read that misses the shared cache remembers so, and refuses to add what was read
		 * elsewhere if somebody has changed it meanwhile. In memory this costs nothing; with a server options are worth it.
		 */
		private function fetch_each( $ids, $group, $force ) {
			foreach ( $ids as $id ) {
				if ( $force && isset( self::OPTIONS[ $group ] ) ) {
					$this->option( $id, $group )->begin_turn();
				}
				$this->fetch_one( $id, $group );
			}
		}

		/**
		 * Asks for one value. One whose class throws while it is built would do so at every request: it is a miss, and
		 * goes.
		 */
		private function fetch_one( $id, $group ) {
			try {
				$value = $this->native->get( (string) $group, (string) $id, $found );
			} catch ( Throwable $error ) {
				$this->native->delete( (string) $group, (string) $id );
				list( $found, $value ) = array( false, false );
			}
			$this->take( $id, $group, $found, $value );
		}

		/**
		 * Takes over what the shared cache said.
		 */
		private function take( $id, $group, $found, $value ) {
			$this->prefetch->used( $id, $group );
			if ( isset( self::OPTIONS[ $group ] ) ) {
				$this->option( $id, $group )->saw( $found, $value );
			}
			if ( $found ) {
				$this->cache[ $group ][ $id ] = $value;
			} else {
				unset( $this->cache[ $group ][ $id ] );
			}
		}

		/**
		 * Shares a value by `$method`; whether it is stored. What cannot be shared (a closure, a resource) is
		 * kept for this request alone, as core would, and no older value stays in its place.
		 */
		private function share( $method, $id, $data, $group, $expire ) {
			if ( $this->is_local( $group ) ) {
				return true;
			}
			if ( 'add' !== $method ) {
				$this->ticket->changed();
			}
			try {
				return isset( self::OPTIONS[ $group ] ) && 'replace' !== $method
					? $this->option( $id, $group )->$method( $data, (int) $expire )
					: $this->native->$method( (string) $group, (string) $id, $data, (int) $expire );
			} catch ( Throwable $error ) {
				$this->native->delete( (string) $group, (string) $id );
				return true;
			}
		}

		/**
		 * Stores several values by `$method`: together, unless one of them needs a rule of its own.
		 */
		private function store_multiple( $method, array $data, $group, $expire ) {
			$group    = empty( $group ) ? 'default' : $group;
			$together = ! $this->is_local( $group ) && ! isset( self::OPTIONS[ $group ] ) && ! isset( $data['last_changed'] );
			$stored   = $together ? $this->share_multiple( $method, $data, $group, $expire ) : null;
			if ( null === $stored ) {
				$stored = array();
				foreach ( $data as $key => $value ) {
					$stored[ $key ] = $this->$method( $key, $value, $group, $expire );
				}
			}
			return $stored;
		}

		/**
		 * Shares several values in one round trip; null when one of them cannot be shared.
		 */
		private function share_multiple( $method, array $data, $group, $expire ) {
			$ids   = $this->ids( array_keys( $data ), $group, $method );
			$items = array();
			foreach ( $ids as $key => $id ) {
				if ( 'set' === $method || ! $this->_exists( $id, $group ) ) {
					$items[ $id ] = $data[ $key ];
				}
			}
			try {
				$stored = $this->native->{"{$method}_multiple"}( (string) $group, $items, (int) $expire );
			} catch ( Throwable $error ) {
				return null;
			}
			if ( 'set' === $method ) {
				$this->ticket->changed();
			}
			$results = array_fill_keys( array_keys( $data ), false );
			foreach ( $ids as $key => $id ) {
				$results[ $key ] = ! empty( $stored[ $id ] );
				if ( 'set' === $method || $results[ $key ] ) {
					$this->hold( $id, $data[ $key ], $group );
				}
			}
			return $results;
		}

		/**
		 * incr() of what is not a shared integer: other numbers as core adds them, anything else counts as 0.
		 */
		private function add_to_other( $id, $offset, $group ) {
			$this->load( array( $id ), $group, true );
			if ( ! $this->_exists( $id, $group ) ) {
				return false;
			}
			$value = $this->cache[ $group ][ $id ];
			$sum   = ( is_numeric( $value ) ? $value : 0 ) + $offset;
			$sum   = $sum < 0 ? 0 : $sum;
			$this->share( 'set', $id, $sum, $group, 0 );
			$this->hold( $id, $sum, $group );
			return $sum;
		}

		/**
		 * What is known of an option.
		 */
		private function option( $id, $group ) {
			if ( ! isset( $this->options[ $group ][ $id ] ) ) {
				$this->options[ $group ][ $id ] = new SLBP_Shared_Option( $this->native, (string) $group, (string) $id );
			}
			return $this->options[ $group ][ $id ];
		}

		/**
		 * A `last_changed` that nobody has used yet. Results are stored under its value, so a clock that went back, or
		 * another host's, must not bring back one under which results from before this change are stored.
		 */
		private function later_than_shared( $id, $data, $group ) {
			$shared = $this->native->get( (string) $group, (string) $id );
			$format = '/^0\.(\d{6})\d* (\d+)$/';
			if ( ! is_string( $data ) || ! is_string( $shared ) || ! preg_match( $format, $data, $new ) || ! preg_match( $format, $shared, $old ) ) {
				return $data;
			}
			$new = $new[2] * 1000000 + $new[1];
			$old = $old[2] * 1000000 + $old[1];
			return $new > $old ? $data : sprintf( '0.%06d00 %d', ( $old + 1 ) % 1000000, intdiv( $old + 1, 1000000 ) );
		}
	}

endif;

/**
 * An option in the shared cache, or the arrays of many options in it (`alloptions`, `notoptions`).
 *
 * Many requests read, change and write them at once, and the order in which their values reach the
 * database need not be the order in which they reach the cache. So a single option is not shared by
 * who writes it: its copy is deleted, and the next reader takes it from the database. Of an array
 * only what this request has changed is written, and only while nobody else is writing it; otherwise
 * its copy is deleted too.
 */
final class SLBP_Shared_Option {
	const UNKNOWN = 0;
	const ABSENT  = 1;
	const PRESENT = 2;
	const TURNS   = 'slbp-turns';

	/** @var SLBP_Object_Cache The shared cache. */
	private $native;

	/** @var string The group it is in. */
	private $group;

	/** @var string Its id there. */
	private $id;

	/** @var int What this request knows of the shared copy. */
	private $state = self::UNKNOWN;

	/** @var mixed The shared copy as this request last saw or wrote it; null before. */
	private $seen = null;

	/** @var array What others changed between this request's last two looks at an array, as keys. */
	private $moved = array();

	/** @var int|false|null The number of this request's turn to write; null before it has one. */
	private $turn = null;

	/**
	 * The option is `$id` in `$group`.
	 */
	public function __construct( $native, $group, $id ) {
		$this->native = $native;
		$this->group  = $group;
		$this->id     = $id;
	}

	/**
	 * The request is about to look by `$force`, which WordPress does when it has written to the database and will write here.
	 */
	public function begin_turn() {
		$name       = "$this->group:$this->id";
		$this->turn = $this->native->increment( self::TURNS, $name );
		if ( false === $this->turn && $this->native->add( self::TURNS, $name, 0 ) ) {
			$this->turn = $this->native->increment( self::TURNS, $name );
		}
	}

	/**
	 * The request looked.
	 */
	public function saw( $found, $value ) {
		$this->state = $found ? self::PRESENT : self::ABSENT;
		if ( $found ) {
			$both        = is_array( $this->seen ) && is_array( $value );
			$this->moved = $both ? self::changes( $this->seen, $value ) + array_diff_key( $this->seen, $value ) : array();
			$this->seen  = $value;
		}
	}

	/**
	 * Shares what was read from the database; false when somebody else has, or has changed it meanwhile.
	 */
	public function add( $data, $expire ) {
		$added       = $this->native->add( $this->group, $this->id, $data, $expire );
		$this->state = self::UNKNOWN;
		if ( $added ) {
			$this->saw( true, $data );
		}
		return $added;
	}

	/**
	 * Shares what was written to the database. Always true: whatever cannot be shared is there.
	 */
	public function set( $data, $expire ) {
		$shared = self::ABSENT === $this->state
			? $this->native->add( $this->group, $this->id, $data, $expire )
			: self::PRESENT === $this->state && is_array( $data ) && is_array( $this->seen ) && $this->merge( $data, $expire );
		if ( ! $shared ) {
			$this->native->delete( $this->group, $this->id );
		}
		$this->state = $shared ? self::PRESENT : self::UNKNOWN;
		$this->seen  = $data;
		return true;
	}

	/**
	 * Writes what this request has changed in an array; false when others may have written the same.
	 */
	private function merge( array $data, $expire ) {
		$changes = self::changes( $this->seen, $data );
		$removed = array_diff_key( $this->seen, $data );
		if ( array() === $changes && array() === $removed ) {
			return true;
		}
		return array() === array_intersect_key( $changes + $removed, $this->moved )
			&& $this->native->merge( $this->group, $this->id, $changes, array_keys( $removed ), $expire )
			&& $this->has_turn();
	}

	/**
	 * Whether nobody else has begun a turn since this request has.
	 */
	private function has_turn() {
		return null === $this->turn || ( is_int( $this->turn ) && $this->native->get( self::TURNS, "$this->group:$this->id" ) === $this->turn );
	}

	/**
	 * The entries of `$after` that `$before` has not, or has differently.
	 */
	private static function changes( array $before, array $after ) {
		$changes = array();
		foreach ( $after as $key => $value ) {
			if ( ! array_key_exists( $key, $before ) || $before[ $key ] !== $value ) {
				$changes[ $key ] = $value;
			}
		}
		return $changes;
	}
}

/**
 * Fetches ahead, in one round trip, what requests of the same kind have used before.
 *
 * Only where a server stands behind shared memory: there one round trip replaces dozens. Of each id
 * a score is kept, so that what only one request needed is not fetched for all; the scores are looked
 * at in a sixteenth of the requests and written when they have changed markedly.
 */
final class SLBP_Cache_Prefetch {
	const GROUP         = 'slbp-prefetch';
	const MOST_IDS      = 400;
	const WORTH         = 3;
	const HIGHEST       = 8;
	const LEARNS_ONE_IN = 16;

	/** @var SLBP_Object_Cache The shared cache. */
	private $native;

	/** @var string|null The kind of request, with its blog; null where nothing is to be gained. */
	private $kind = null;

	/** @var array Scores by group and id. */
	private $scores = array();

	/** @var array What was found and not yet asked for, by group and id. */
	private $waiting = array();

	/** @var array What the request has asked the shared cache for, by group and id. */
	private $used = array();

	/** @var int How many those are. */
	private $count = 0;

	/**
	 * Fetches.
	 */
	public function __construct( $native, $has_server, $blog_prefix ) {
		$this->native = $native;
		if ( $has_server ) {
			$this->kind   = $blog_prefix . self::kind();
			$scores       = $native->get( self::GROUP, $this->kind );
			$this->scores = is_array( $scores ) ? $scores : array();
			$wanted       = $this->wanted();
			try {
				$this->waiting = array() === $wanted ? array() : $native->prefetch( $wanted );
			} catch ( Throwable $error ) {
				$this->waiting = array(); // A class throws while its object is built: whoever asks for it will see to that.
			}
		}
	}

	/**
	 * Whether the value was fetched ahead. That there is none is not remembered: who misses must ask for himself, so
	 * that what he then adds is refused if somebody has changed it meanwhile.
	 */
	public function has( $id, $group, &$value ) {
		$has = isset( $this->waiting[ $group ] ) && array_key_exists( $id, $this->waiting[ $group ] );
		if ( $has ) {
			$value = $this->waiting[ $group ][ $id ];
			unset( $this->waiting[ $group ][ $id ] );
		}
		return $has;
	}

	/**
	 * The request has asked for this.
	 */
	public function used( $id, $group ) {
		if ( null !== $this->kind && $this->count < self::MOST_IDS && ! isset( $this->used[ $group ][ $id ] ) ) {
			$this->used[ $group ][ $id ] = true;
			++$this->count;
		}
	}

	/**
	 * What was fetched is out of date.
	 */
	public function drop( $id, $group ) {
		unset( $this->waiting[ $group ][ $id ] );
	}

	/**
	 * Everything that was fetched, or everything in a group, is out of date.
	 */
	public function clear( $group = null ) {
		$this->waiting = null === $group ? array() : array_diff_key( $this->waiting, array( $group => true ) );
	}

	/**
	 * At the end of the request: remembers what it used, for the next one.
	 */
	public function learn() {
		if ( null === $this->kind || ( array() !== $this->wanted() && 1 !== random_int( 1, self::LEARNS_ONE_IN ) ) ) {
			return;
		}
		list( $scores, $moved ) = $this->rescored();
		if ( $moved > array_sum( array_map( 'count', $scores ) ) / 8 ) {
			$this->native->set( self::GROUP, $this->kind, $scores, 7 * 86400 );
		}
	}

	/**
	 * The ids worth fetching, by group.
	 */
	private function wanted() {
		$wanted = array();
		foreach ( $this->scores as $group => $ids ) {
			foreach ( $ids as $id => $score ) {
				if ( $score >= self::WORTH ) {
					$wanted[ $group ][] = $id;
				}
			}
		}
		return $wanted;
	}

	/**
	 * The scores after this request, and how many of them have changed.
	 */
	private function rescored() {
		$scores = array();
		$moved  = 0;
		$size   = 0;
		foreach ( array_replace_recursive( $this->scores, $this->used ) as $group => $ids ) {
			foreach ( array_keys( $ids ) as $id ) {
				$before = $this->scores[ $group ][ $id ] ?? 0;
				$after  = isset( $this->used[ $group ][ $id ] ) ? min( self::HIGHEST, $before + 2 ) : $before - 1;
				$moved += (int) ( $after !== $before );
				if ( $after > 0 && ++$size <= self::MOST_IDS ) {
					$scores[ $group ][ $id ] = $after;
				}
			}
		}
		return array( $scores, $moved );
	}

	/**
	 * What kind of request this is, as far as can be told before WordPress has looked at it, and whether somebody is logged in.
	 */
	private static function kind() {
		foreach ( array_keys( $_COOKIE ) as $name ) {
			if ( 0 === strpos( (string) $name, 'wordpress_logged_in_' ) ) {
				return self::door() . '/user';
			}
		}
		return self::door();
	}

	/**
	 * By which door the request came in. A visitor cannot make up new ones.
	 */
	private static function door() {
		$script = $_SERVER['SCRIPT_NAME'] ?? '';
		$path   = (string) strtok( $_SERVER['REQUEST_URI'] ?? '/', '?' );
		if ( 'cli' === PHP_SAPI || defined( 'DOING_CRON' ) ) {
			return defined( 'DOING_CRON' ) ? 'cron' : 'cli';
		}
		if ( isset( $_GET['rest_route'] ) || false !== strpos( $path, '/wp-json/' ) ) {
			return 'rest';
		}
		if ( 'index.php' !== basename( $script ) || defined( 'WP_ADMIN' ) ) {
			return ltrim( $script, '/' );
		}
		return rtrim( dirname( $script ), '/' ) . '/' === $path ? 'home' : 'page';
	}
}

/**
 * Tells php-fpm that the command line has changed something, where the two share no memory.
 *
 * With Redis, Memcached or a file as segment (slbp.shm_path) they share one cache, and nothing is to
 * be told. Otherwise this file's time of change is the message: a request that finds another time
 * than the one before it empties the cache first. A fresh copy of the file says the same.
 */
final class SLBP_Cache_Ticket {
	const GROUP = 'slbp-ticket';

	/** @var bool Whether this process has a cache that no other sees. */
	private $alone = false;

	/** @var int When the others were last told. */
	private $told = 0;

	/** @var bool Whether something has changed since. */
	private $pending = false;

	/**
	 * Obeys what others have told.
	 */
	public function __construct( $native, $has_server ) {
		if ( $has_server ) {
			return;
		}
		$this->alone = 'cli' === PHP_SAPI && '' === (string) ini_get( 'slbp.shm_path' );
		$changed     = filemtime( __FILE__ );
		if ( ! $this->alone && $native->get( self::GROUP, 'time' ) !== $changed ) {
			$native->flush();
			$native->set( self::GROUP, 'time', $changed );
		}
	}

	/**
	 * Something has changed. Told at once, then at most once a second, and at the end.
	 */
	public function changed() {
		$this->pending = $this->alone;
		if ( $this->alone && time() > $this->told ) {
			$this->tell();
		}
	}

	/**
	 * The process ends. Who may not tell the others says so: they go on with what they have.
	 */
	public function close() {
		if ( $this->pending ) {
			$this->tell();
		}
		if ( $this->pending ) {
			error_log( 'slbp: ' . __FILE__ . ' is not writable for this user, so php-fpm does not hear of what was changed here. Run as its owner, or set slbp.shm_path.' );
		}
	}

	/**
	 * Moves the time on, by at least a second: it is all that others compare. Only the file's owner may choose the
	 * time; who may merely write it makes it now.
	 */
	private function tell() {
		clearstatcache( true, __FILE__ );
		$before        = is_file( __FILE__ ) ? filemtime( __FILE__ ) : null;
		$this->told    = time();
		$this->pending = null !== $before && ! @touch( __FILE__, max( time(), $before + 1 ) ) && ! @touch( __FILE__ );
	}
}
