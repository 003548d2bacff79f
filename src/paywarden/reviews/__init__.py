"""What waits for another principal: reviews, and verdicts bound to exactly one action."""
