#include "worker/worker_service_sessions.h"

#include <algorithm>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "common/check.h"

namespace spillway {

void RouterSessions::OnHello(StreamId stream, const wire::Hello& hello, absl::Time now,
                             SessionActions& actions) {
  if (by_stream_.contains(stream)) {
    actions.cut.emplace_back(stream, absl::InvalidArgumentError("a second Hello on one stream"));
    return;
  }
  if (hello.router_id().empty()) {
    actions.cut.emplace_back(stream, absl::InvalidArgumentError("Hello names no router"));
    return;
  }
  auto frame = std::make_shared<wire::WorkerFrame>();
  wire::Welcome& welcome = *frame->mutable_welcome();
  const auto found = by_router_.find(hello.router_id());
  if (found != by_router_.end()) {
    Session& session = sessions_.at(found->second);
    if (session.stream.has_value()) {
      actions.cut.emplace_back(*session.stream,
                               absl::AbortedError("the router has attached again"));
      Detach(session, now);
    }
    if (CanResumeAfter(session, hello)) {
      session.stream = stream;
      session.heard = now;
      by_stream_[stream] = found->second;
      actions.send.emplace_back(stream, frame);
      Resume(session, hello, welcome, actions);
      return;
    }
    End(found->second, absl::OkStatus(), actions);
  }
  if (sessions_.size() >= static_cast<size_t>(limits_.sessions_max)) {
    actions.cut.emplace_back(stream, absl::ResourceExhaustedError(absl::StrCat(
                                         limits_.sessions_max, " routers are attached already")));
    return;
  }
  const SessionId id{++last_session_};
  sessions_[id] = {.router_id = hello.router_id(), .stream = stream, .heard = now};
  by_router_[hello.router_id()] = id;
  by_stream_[stream] = id;
  actions.send.emplace_back(stream, frame);
}

bool RouterSessions::CanResumeAfter(const Session& session, const wire::Hello& hello) {
  if (hello.live_sequence_ids().empty()) return false;
  const uint64_t kept_from =
      session.kept.empty() ? session.last_number + 1 : session.kept.front().frame->frame_number();
  return hello.last_frame_number() + 1 >= kept_from &&
         hello.last_frame_number() <= session.last_number;
}

void RouterSessions::Resume(Session& session, const wire::Hello& hello, wire::Welcome& welcome,
                            SessionActions& actions) {
  Acknowledge(session, hello.last_frame_number());
  std::unordered_set<uint64_t> known;
  for (const auto& [router_sequence, sequence] : session.sequences) known.insert(router_sequence);
  for (const Kept& kept : session.kept) {
    for (const wire::SequenceEvent& event : kept.frame->events()) known.insert(event.sequence_id());
  }
  std::unordered_set<uint64_t> wanted;
  for (const uint64_t router_sequence : hello.live_sequence_ids()) {
    if (!wanted.insert(router_sequence).second) continue;
    if (known.contains(router_sequence)) welcome.add_known_sequence_ids(router_sequence);
  }
  welcome.set_resumed(true);
  for (auto next = session.sequences.begin(); next != session.sequences.end();) {
    const auto at = next++;
    if (wanted.contains(at->first)) continue;
    actions.cancel.push_back(at->second);
    owners_.erase(at->second);
    session.sequences.erase(at);
  }
  for (const Kept& kept : session.kept) actions.send.emplace_back(*session.stream, kept.frame);
}

bool RouterSessions::OnFrame(StreamId stream, absl::Time now, SessionActions& actions) {
  if (!by_stream_.contains(stream)) {
    actions.cut.emplace_back(stream, absl::InvalidArgumentError("the first frame isn't a Hello"));
    return false;
  }
  Session* session = OfStream(stream);
  if (session != nullptr) session->heard = now;
  return session != nullptr;
}

std::optional<absl::StatusOr<SequenceId>> RouterSessions::OnSubmit(StreamId stream,
                                                                   uint64_t router_sequence) {
  Session* session = OfStream(stream);
  if (session == nullptr) return std::nullopt;
  const SequenceId id{last_sequence_ + 1};
  if (!session->sequences.emplace(router_sequence, id).second) {
    return absl::AlreadyExistsError(absl::StrCat("sequence id ", router_sequence, " is in use"));
  }
  ++last_sequence_;
  owners_[id] = {.session = *by_stream_.at(stream), .router_sequence = router_sequence};
  return id;
}

void RouterSessions::OnCancel(StreamId stream, uint64_t router_sequence, SessionActions& actions) {
  Session* session = OfStream(stream);
  if (session == nullptr) return;
  const auto found = session->sequences.find(router_sequence);
  if (found == session->sequences.end()) return;
  actions.cancel.push_back(found->second);
  owners_.erase(found->second);
  session->sequences.erase(found);
}

void RouterSessions::OnAck(StreamId stream, uint64_t frame_number) {
  if (Session* session = OfStream(stream)) Acknowledge(*session, frame_number);
}

void RouterSessions::OnStreamGone(StreamId stream, absl::Time now, SessionActions& actions) {
  Session* session = OfStream(stream);
  if (session != nullptr) Detach(*session, now);
  by_stream_.erase(stream);
  Tick(now, actions);
}

std::optional<RouterSessions::Owner> RouterSessions::Find(SequenceId sequence) const {
  const auto found = owners_.find(sequence);
  if (found == owners_.end()) return std::nullopt;
  return found->second;
}

std::optional<SessionId> RouterSessions::SessionOf(StreamId stream) const {
  const auto found = by_stream_.find(stream);
  if (found == by_stream_.end()) return std::nullopt;
  return found->second;
}

void RouterSessions::Forget(SequenceId sequence) {
  const auto found = owners_.find(sequence);
  CHECK(found != owners_.end());
  sessions_.at(found->second.session).sequences.erase(found->second.router_sequence);
  owners_.erase(found);
}

void RouterSessions::Send(SessionId id, std::unique_ptr<wire::WorkerFrame> frame, absl::Time now,
                          SessionActions& actions) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;  // Given up by an earlier frame of this very step.
  Session& session = found->second;
  frame->set_frame_number(++session.last_number);
  session.sent = now;
  session.idle_sent = frame->load().running() + frame->load().waiting() == 0;
  const size_t bytes = frame->ByteSizeLong();
  session.kept.push_back({std::shared_ptr<const wire::WorkerFrame>(std::move(frame)), bytes});
  session.kept_bytes += bytes;
  if (session.kept_bytes > limits_.unacknowledged_bytes_max) {
    End(id,
        absl::ResourceExhaustedError(absl::StrCat("over ", limits_.unacknowledged_bytes_max,
                                                  " bytes were sent and not acknowledged")),
        actions);
    return;
  }
  if (session.stream.has_value()) {
    actions.send.emplace_back(*session.stream, session.kept.back().frame);
  }
}

std::vector<SessionId> RouterSessions::LoadDue(absl::Time now, absl::Duration interval,
                                               bool idle) const {
  std::vector<SessionId> due;
  for (const auto& [id, session] : sessions_) {
    if (!session.stream.has_value()) continue;
    if (now - session.sent >= interval || (idle && !session.idle_sent)) due.push_back(id);
  }
  return due;
}

void RouterSessions::Tick(absl::Time now, SessionActions& actions) {
  std::vector<SessionId> over;
  for (auto& [id, session] : sessions_) {
    if (session.stream.has_value()) {
      if (now - session.heard < limits_.silence_max) continue;
      actions.cut.emplace_back(*session.stream, absl::DeadlineExceededError(absl::StrCat(
                                                    "nothing was heard of the router for ",
                                                    absl::FormatDuration(limits_.silence_max))));
      Detach(session, now);
    }
    const bool nothing_to_miss = session.sequences.empty() && session.kept.empty();
    if (nothing_to_miss || now - session.detached_at >= limits_.reattach_grace) over.push_back(id);
  }
  for (const SessionId id : over) End(id, absl::OkStatus(), actions);
}

RouterSessions::Session* RouterSessions::OfStream(StreamId stream) {
  const std::optional<SessionId> id = SessionOf(stream);
  return id.has_value() ? &sessions_.at(*id) : nullptr;
}

void RouterSessions::Detach(Session& session, absl::Time now) {
  by_stream_.at(*session.stream).reset();
  session.stream.reset();
  session.detached_at = now;
}

void RouterSessions::Acknowledge(Session& session, uint64_t number) {
  while (!session.kept.empty() && session.kept.front().frame->frame_number() <= number) {
    session.kept_bytes -= session.kept.front().bytes;
    session.kept.pop_front();
  }
}

void RouterSessions::End(SessionId id, const absl::Status& why, SessionActions& actions) {
  const auto found = sessions_.find(id);
  CHECK(found != sessions_.end());
  Session& session = found->second;
  for (const auto& [router_sequence, sequence] : session.sequences) {
    actions.cancel.push_back(sequence);
    owners_.erase(sequence);
  }
  if (session.stream.has_value()) {
    actions.cut.emplace_back(*session.stream, why);
    by_stream_.at(*session.stream).reset();
  }
  by_router_.erase(session.router_id);
  sessions_.erase(found);
}

}  // namespace spillway
