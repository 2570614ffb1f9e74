"""Does all git work of the product on the host side, with nothing of a cloned repository ever executed."""
