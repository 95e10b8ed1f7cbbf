dnl Lets phpize, and so PIE, build the extension: the work is Cargo's, make only calls it.
dnl   cd php && phpize && ./configure && make && make install

PHP_ARG_ENABLE([slbp], [whether to build slbp], [AS_HELP_STRING([--enable-slbp], [Build slbp])], [yes])

if test "$PHP_SLBP" != "no"; then
  AC_PATH_PROG([CARGO], [cargo])
  if test -z "$CARGO"; then
    AC_MSG_ERROR([cargo is missing: install Rust, https://rustup.rs])
  fi

  SLBP_ROOT=`cd "$srcdir/.." && pwd`
  cat >> Makefile.objects <<EOF
all: slbp_cargo

slbp_cargo:
	PHP=$PHP_EXECUTABLE PHP_CONFIG=$PHP_CONFIG $CARGO build --release --locked --manifest-path $SLBP_ROOT/Cargo.toml --target-dir $SLBP_ROOT/target
	mkdir -p \$(phplibdir)
	cp $SLBP_ROOT/target/release/libslbp.so \$(phplibdir)/slbp.so

.PHONY: slbp_cargo
EOF
  PHP_SUBST([PHP_MODULES])
fi
