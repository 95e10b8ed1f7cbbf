'use strict';
function demoStrict() { return this === undefined; }
const demoConstant = 5;
demo.push( 'strict ' + demoStrict() );
