#include "dataplane/http/body_writer.h"

#include "dataplane/http/head_writer.h"

namespace ringway::http {

bool BodyWriter::send(io::SliceQueue& output, io::BufferPool& pool, io::Slice data, bool end) {
  bool fits = true;
  switch (mode_) {
    case Mode::kEnded: return true;
    case Mode::kDropped: break;
    case Mode::kKnown:
      if (data.size() > left_) {
        data.truncate(static_cast<uint32_t>(left_));
        fits = false;
      }
      left_ -= data.size();
      output.push(std::move(data));
      if (end && left_ > 0) fits = false;
      break;
    case Mode::kChunked:
      if (!data.empty()) {
        write_chunk_size(output, pool, data.size());
        output.push(std::move(data));
        output.append_copy(pool, end ? "\r\n0\r\n\r\n" : "\r\n");
      } else if (end) {
        output.append_copy(pool, "0\r\n\r\n");
      }
      break;
    case Mode::kRaw: output.push(std::move(data)); break;
  }
  if (end) mode_ = Mode::kEnded;
  return fits;
}

bool BodyWriter::send_trailers(io::SliceQueue& output, io::BufferPool& pool, const HeaderList& trailers) {
  if (mode_ != Mode::kChunked) return send(output, pool, {}, true);
  output.append_copy(pool, "0\r\n");
  write_trailers(output, pool, trailers);
  mode_ = Mode::kEnded;
  return true;
}

}  // namespace ringway::http
