"""Certificates and encrypted connections.

Duty: keys and certificates, their files, the contexts of TLS, the one public port of a manager, and a node's way to its
certificate.
Takes: effects of the authority, join tokens, a directory.
Gives: signed certificates; `Credentials` and their channels; `TlsFront`, which tells who is at the other end of each
connection.
Never: decides who may join or do what; writes a key that others can read, or logs one.
"""
