// A comment that goes.
var demoFirst = ( function ( $ ) {
	return typeof $ === 'function' ? 'first has jQuery' : 'first has none'
} )( window.jQuery )
demo.push( demoFirst )
