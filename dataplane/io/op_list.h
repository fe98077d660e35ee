// A list of ops in flight by their next/previous; an op is in one list at most.
//
// Thread rule: the ring's thread.
#pragma once

#include <cstdint>

#include "dataplane/io/op.h"

namespace ringway::io {

struct OpList {
  Op* head = nullptr;
  Op* last = nullptr;
  uint32_t count = 0;

  void push(Op& op) {
    op.next = nullptr;
    op.previous = last;
    (last == nullptr ? head : last->next) = &op;
    last = &op;
    ++count;
  }
  // REQUIRES: it is in this list.
  void remove(Op& op) {
    (op.previous == nullptr ? head : op.previous->next) = op.next;
    (op.next == nullptr ? last : op.next->previous) = op.previous;
    op.next = op.previous = nullptr;
    --count;
  }
  Op& pop() {  // REQUIRES: count > 0.
    Op& op = *head;
    remove(op);
    return op;
  }
};

}  // namespace ringway::io
