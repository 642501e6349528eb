#!/usr/bin/python3
"""The lab's service: answers every request on its socket with one page."""
import socket

listener = socket.socket(socket.AF_UNIX)
listener.bind("/run/web/http.sock")
listener.listen()
while True:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlab\n")
