// The parts of Listener messages that relays of bytes and datagrams go by.
//
// Thread rule: the control thread's. Errors: one line for people.
#pragma once

#include <expected>
#include <memory>
#include <string>

#include "dataplane/config/snapshot.h"
#include "ringway/v1/resources.pb.h"

namespace ringway::config {

std::expected<std::shared_ptr<const StreamPolicy>, std::string> compile_stream(
    const v1::Listener& in, ListenerKind kind, StreamSource source);
// nullptr: nothing is to be read before it is known where a connection goes.
std::expected<std::shared_ptr<const PreludePolicy>, std::string> compile_prelude(
    const v1::Listener& in, ListenerKind kind);
// Which parts of the message fit a listener of that kind.
std::expected<void, std::string> check_kind(const v1::Listener& in, ListenerKind kind);

}  // namespace ringway::config
