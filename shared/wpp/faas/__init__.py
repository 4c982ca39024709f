"""Where a function runs: a neutral request and answer in the middle, one thin adapter per runtime around it."""
