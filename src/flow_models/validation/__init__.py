"""What data must satisfy before anything is trained on them."""
