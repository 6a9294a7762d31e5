"""What works here and what does not, each with its next step; nothing is changed, nothing is built."""
