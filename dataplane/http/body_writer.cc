#include "dataplane/http/body_writer.h"

#include "dataplane/http/head_writer.h"

namespace ringway::http {
namespace {

// Up to here a copy behind what is queued is cheaper than a vector of its own; and a peer that
// sends byte by byte can't make each of its bytes hold a receive buffer, on which all connections
// of the worker live.
constexpr uint32_t kCopyBytesMax = 1024;

void append(io::SliceQueue& output, io::BufferPool& pool, io::Slice data) {
  data.size() <= kCopyBytesMax ? output.append_copy(pool, data.view())
                               : output.push(std::move(data));
}

}  // namespace

bool BodyWriter::send(io::SliceQueue& output, io::BufferPool& pool, io::Slice data, bool end) {
  bool fits = true;
  switch (mode_) {
    case Mode::kEnded:
      return true;
    case Mode::kDropped:
      break;
    case Mode::kKnown:
      if (data.size() > left_) {
        data.truncate(static_cast<uint32_t>(left_));
        fits = false;
      }
      left_ -= data.size();
      append(output, pool, std::move(data));
      if (end && left_ > 0) fits = false;
      break;
    case Mode::kChunked:
      if (!data.empty()) {
        write_chunk_size(output, pool, data.size());
        append(output, pool, std::move(data));
        output.append_copy(pool, end ? "\r\n0\r\n\r\n" : "\r\n");
      } else if (end) {
        output.append_copy(pool, "0\r\n\r\n");
      }
      break;
    case Mode::kRaw:
      append(output, pool, std::move(data));
      break;
  }
  if (end) mode_ = Mode::kEnded;
  return fits;
}

bool BodyWriter::send_trailers(io::SliceQueue& output, io::BufferPool& pool,
                               const HeaderList& trailers) {
  if (mode_ != Mode::kChunked) return send(output, pool, {}, true);
  output.append_copy(pool, "0\r\n");
  write_trailers(output, pool, trailers);
  mode_ = Mode::kEnded;
  return true;
}

}  // namespace ringway::http
