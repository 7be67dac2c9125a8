"""Rooms: messages of plugins to those who watch, over event streams, sockets and polls."""
