demo.push( 'throws' );
throw new Error( 'thrown on purpose' );
