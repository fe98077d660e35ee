// Heads to bytes, always from the parsed form, never a copy of what came in.
//
// Connection, Keep-Alive, Proxy-Connection, Transfer-Encoding, Content-Length and Upgrade of the
// lists are never written: what they say is about the other connection. The writer makes those that
// this connection needs from its arguments.
#pragma once

#include "dataplane/http/message.h"
#include "dataplane/io/buffer_pool.h"
#include "dataplane/io/slice.h"

namespace ringway::http {

// What is said about the body on this connection.
enum class FramingFields : uint8_t { kNone, kContentLength, kChunked };

struct HeadFraming {
  FramingFields fields = FramingFields::kNone;
  uint64_t content_length = 0;  // kContentLength only.
};

// The Connection field of a response.
enum class ConnectionField : uint8_t { kNone, kClose, kKeepAlive, kUpgrade };

// HTTP/1.1 with path and query of the head, or "*". Host first: from the list, else the head's
// authority. Upgrade and Connection when head.upgrade; "Connection: TE" when TE is in the list.
void write_request_head(io::SliceQueue& output, io::BufferPool& pool, const RequestHead& head,
                        HeadFraming framing);

// kUpgrade also writes the list's Upgrade field.
void write_response_head(io::SliceQueue& output, io::BufferPool& pool, uint16_t status,
                         const HeaderList& headers, HeadFraming framing,
                         ConnectionField connection);

// Fields and the empty line, without what forbidden_in_trailers() names; behind "0 CRLF" it is a
// trailer section.
void write_trailers(io::SliceQueue& output, io::BufferPool& pool, const HeaderList& trailers);

// "SIZE CRLF" before a chunk's data. REQUIRES: bytes > 0.
void write_chunk_size(io::SliceQueue& output, io::BufferPool& pool, uint64_t bytes);

}  // namespace ringway::http
