"""Neural networks that classify the frames of a lead."""
