"""Opens, finds and updates pull requests where a team reads them."""
