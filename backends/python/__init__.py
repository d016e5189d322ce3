"""What every backend that writes Python shares: blocks in order, arguments, variables, layout."""
