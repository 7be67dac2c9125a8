"""The command ``luminai``: lazy, one module a group."""
