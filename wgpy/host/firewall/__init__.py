"""Other programs' firewalls: what they do with packets that this host forwards, and rules of ours in them."""
