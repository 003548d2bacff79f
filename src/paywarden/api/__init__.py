"""The HTTP door: translates requests into flow calls and renders what they return. No rule and no SQL stands here."""
