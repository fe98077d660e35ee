"""What the demo shows and `--check` asserts: one curl command each, and what its answer must have."""

import dataclasses


@dataclasses.dataclass
class Example:
    title: str
    curl: str                        # Arguments; {http} and {https} are the ports.
    status: int
    contains: list[str] = dataclasses.field(default_factory=list)
    lacks: list[str] = dataclasses.field(default_factory=list)


EXAMPLES = [
    Example("a host with three endpoints, one of them sick", "-H 'Host: web.demo.test' http://127.0.0.1:{http}/hello", 200,
            ['"name": "web-', '"path": "/hello"', '"X-Forwarded-For": "127.0.0.1"', '"X-Request-ID": "']),
    Example("HTTPS with the certificate of a Secret",
            "-k --resolve secure.demo.test:{https}:127.0.0.1 https://secure.demo.test:{https}/", 200, ['"name": "web-', '"X-Forwarded-Proto": "https"']),
    Example("its plain HTTP goes to HTTPS", "-H 'Host: secure.demo.test' 'http://127.0.0.1:{http}/a?b=c'", 308,
            ["ocation: https://secure.demo.test:{https}/a?b=c"]),
    Example("a redirect", "-H 'Host: old.demo.test' http://127.0.0.1:{http}/", 301, ["ocation: https://www.example.com/moved"]),
    Example("a rewritten path", "-H 'Host: rewrite.demo.test' 'http://127.0.0.1:{http}/api/users?page=2'", 200, ['"name": "api-', '"path": "/users?page=2"']),
    Example("pathType Exact", "-H 'Host: paths.demo.test' http://127.0.0.1:{http}/exact", 200, ['"name": "api-']),
    Example("pathType Prefix", "-H 'Host: paths.demo.test' http://127.0.0.1:{http}/shop/shoes", 200, ['"name": "web-v2-']),
    Example("the longest Prefix wins", "-H 'Host: paths.demo.test' http://127.0.0.1:{http}/shop/cart", 200, ['"name": "chat-']),
    Example("a body", "-H 'Host: web.demo.test' --data hello http://127.0.0.1:{http}/post", 200, ['"method": "POST"', '"body_bytes": 5']),
    Example("no rule matches: the default backend", "-H 'Host: unknown.demo.test' http://127.0.0.1:{http}/any", 200, ['"name": "fallback-']),
    Example("a WebSocket handshake",
            "--http1.1 --max-time 1 -H 'Host: chat.demo.test' -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' "
            "-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' http://127.0.0.1:{http}/", 101, ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]),
    Example("a hostile request: two lengths", "-H 'Host: web.demo.test' -H 'Content-Length: 5' -H 'Transfer-Encoding: chunked' --data hello "
            "http://127.0.0.1:{http}/", 400, [], ['"name"', "hello"]),
]
