"""Cases with load: a table. Names are arguments of `./dev bench`; what is asked of Ringway stands beside what is measured."""

from proxies import Setup
from runner import LoadCase

NEW = {"connections": 16, "per_connection": 1, "sources": 4}   # One source address has ports for 28,000 connections.

LOAD = [
    LoadCase("keepalive-1", "1 connection, 128 B", {"connections": 1}, ratio=1.00, envoy_ratio=0.25, quick=True),
    LoadCase("keepalive-16", "16 connections, 128 B", {"connections": 16}, ratio=1.00, envoy_ratio=0.25),
    LoadCase("keepalive-64", "64 connections, 128 B", {"connections": 64}, ratio=0.72, envoy_ratio=0.25, epoll_ratio=0.90,
             quick=True),
    LoadCase("keepalive-256", "256 connections, 128 B", {"connections": 256}, ratio=0.62, envoy_ratio=0.25, quick=True),
    LoadCase("keepalive-1000", "1,000 connections, 128 B", {"connections": 1000}, ratio=0.62, envoy_ratio=0.25),
    LoadCase("body-16k", "answers of 16 KiB, 64 connections", {"connections": 64}, body=16384, per_gib=True, ratio=0.85, quick=True),
    LoadCase("body-1m", "answers of 1 MiB, 16 connections", {"connections": 16}, body=2**20, per_gib=True, ratio=1.00),
    LoadCase("upload-16k", "requests of 16 KiB, 64 connections", {"connections": 64, "upload": 16384}, per_gib=True, ratio=0.85),
    LoadCase("upload-1m", "requests of 1 MiB, 16 connections", {"connections": 16, "upload": 2**20}, per_gib=True, ratio=1.00),
    LoadCase("new-connection", "a connection per request", NEW, ratio=0.85, quick=True),
    LoadCase("tls-keepalive", "TLS 1.3 kept, 64 connections", {"connections": 64}, Setup(tls="ecdsa"), ratio=0.75, quick=True),
    LoadCase("tls-ecdsa", "a full handshake per request, ECDSA P-256", NEW, Setup(tls="ecdsa"), ratio=0.80, quick=True),
    LoadCase("tls-rsa", "a full handshake per request, RSA 2048", NEW, Setup(tls="rsa")),
    LoadCase("tls-resumed", "a resumed handshake per request", {**NEW, "tls_resume": 1}, Setup(tls="ecdsa"), ratio=0.60),
    LoadCase("access-log", "access log on, 64 connections", {"connections": 64}, Setup(access_log=True)),
    LoadCase("fields-100", "100 header fields, 64 connections", {"connections": 64, "fields": 97}),
    LoadCase("routes-1000", "1,000 hosts in turn, 64 connections", {"connections": 64}, Setup(routes=1000)),
    LoadCase("slow-backend", "answers after 20 ms, 256 connections", {"connections": 256}, delay_ms=20),
    LoadCase("latency", "5,000 requests/s on a fixed plan, 64 connections", {"connections": 64, "rate": 5000}, quick=True),
    LoadCase("h2-1", "HTTP/2 in clear, 16 connections, 1 stream each", {"connections": 16}, Setup(http2=True), streams=1, ratio=0.80),
    LoadCase("h2-100", "HTTP/2 in clear, 2 connections, 100 streams each", {"connections": 2}, Setup(http2=True), streams=100, ratio=0.80),
    LoadCase("grpc-1", "gRPC unary in clear, 16 connections, 1 call each", {"connections": 16}, Setup(http2=True, grpc=True), body=21, streams=1,
             ratio=0.80),
    LoadCase("grpc-100", "gRPC unary in clear, 2 connections, 100 calls each", {"connections": 2}, Setup(http2=True, grpc=True), body=21, streams=100,
             ratio=0.80),
]

CASES = {case.name: case.run for case in LOAD}
QUICK = [case.name for case in LOAD if case.quick]
