"""The feature server beside Feast's and a bare Starlette handler, and Feast's client against it."""
