"""What a finished run says: to a terminal now, as a page later."""
