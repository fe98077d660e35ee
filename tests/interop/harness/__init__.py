"""What the interop suite is built from: processes under test, backends, raw clients, load, objects."""
