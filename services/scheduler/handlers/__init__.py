"""What the scheduler does: news and wishes in, decisions out, and what follows from them in the same append."""
