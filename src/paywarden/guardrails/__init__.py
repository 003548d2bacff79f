"""What may be paid: Cedar policies, mandates, the duplicate guard. The rules are pure: facts in, verdict out."""
