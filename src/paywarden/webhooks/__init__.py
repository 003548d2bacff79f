"""The inbox: every provider's event exactly as it came, stored before it is answered, applied from the row."""
