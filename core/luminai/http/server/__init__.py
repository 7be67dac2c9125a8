"""The HTTP/1.1 server of the hub: uvicorn with limits on bytes, time and connections that it lacks."""
