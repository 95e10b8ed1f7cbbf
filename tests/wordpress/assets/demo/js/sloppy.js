demoUndeclared = 1
function demoSloppy() { return this === window }
demo.push( 'sloppy ' + demoSloppy() + demoStrict() + demoConstant )
