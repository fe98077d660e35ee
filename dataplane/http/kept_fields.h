// Fields that must outlive the event they came with, in one slice: trailers that wait behind a
// body. At most what Limits::trailers_bytes_max allows.
#pragma once

#include "dataplane/http/message.h"
#include "dataplane/io/buffer_pool.h"

namespace ringway::http {

class KeptFields {
 public:
  void keep(const HeaderList& fields, io::BufferPool& pool);
  void drop() { memory_.reset(); }
  bool empty() const { return memory_.empty(); }
  // Views that live as long as this keeps them.
  void read(HeaderList& fields) const;

 private:
  io::Slice memory_;
};

}  // namespace ringway::http
