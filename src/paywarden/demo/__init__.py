"""The demo: support messages that people really wrote, played through HTTP with an agent's own key."""
