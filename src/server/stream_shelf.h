// Where the answers are that may outlive their clients (kept_answer.h): who may keep how many, who
// finds which, and when nobody came back in time. Its bounds, times the ring of one, bound the
// memory of all: kKeptAnswersMax × kRingBytesMax = 128 MiB.
//
// An answer has its place from before its request is submitted until the last one that reads it
// lets go. An answer that a client got to its end stays for those who lost it on the way, but gives
// its place to the next one that needs it.
//
// io thread only. Shared with the coroutines that hold places.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <string>

#include "http/server.h"
#include "runtime/calls/principal.h"
#include "server/kept_answer.h"

namespace aioss::server {

inline constexpr std::size_t kKeptAnswersMax = 128;
// Of one tenant, so that nobody takes all; also of a server without keys, whose callers are one.
inline constexpr std::size_t kKeptAnswersTenantMax = 96;

class StreamShelf final : public std::enable_shared_from_this<StreamShelf> {
 public:
  static std::shared_ptr<StreamShelf> create(http::net::io_context& io);  // outlives the shelf
  ~StreamShelf();
  StreamShelf(const StreamShelf&) = delete;
  StreamShelf& operator=(const StreamShelf&) = delete;

  // kBusy if there is none.
  Result<std::unique_ptr<ShelfPlace>> take_place(const std::string& tenant);
  void keep(std::shared_ptr<KeptAnswer> answer);
  // The caller's answer of that id; null: there is none, or it is somebody else's.
  std::shared_ptr<KeptAnswer> find(const std::string& id, const runtime::Principal& caller) const;
  // Its reader has left. It may be dropped at once, if the server is stopping.
  void left(const std::shared_ptr<KeptAnswer>& answer);

  // The server takes no more requests, so nobody can come back: what nobody reads ends now.
  void stop();
  void close();  // ends all; nothing is kept from here on

 private:
  class Place;
  explicit StreamShelf(http::net::io_context& io);
  bool make_room(const std::string& tenant);
  std::size_t places_of(const std::string& tenant) const;
  void look_again();  // in a moment, as long as there is anything here
  void sweep();
  void drop(const std::string& id, Error why);

  http::net::steady_timer timer_;
  bool looking_ = false, stopping_ = false;
  std::map<std::string, std::size_t> places_;  // by tenant; none of 0
  std::size_t places_total_ = 0;
  std::map<std::string, std::shared_ptr<KeptAnswer>> answers_;  // by id
};

}  // namespace aioss::server
