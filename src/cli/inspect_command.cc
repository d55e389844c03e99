#include "cli/inspect_command.h"

#include <chrono>
#include <string>
#include <vector>

#include "base/clock.h"
#include "cli/inspect_report.h"
#include "cli/term.h"
#include "os/process.h"
#include "os/read_some.h"

namespace aioss::cli {
namespace {

// The child limits itself to 20 s of processor time; on a busy machine that may take longer.
constexpr std::chrono::milliseconds kChildTime{60'000};

// All that the child writes, until it closes its end or its time is up.
Result<std::string> read_all(int descriptor, const Clock& clock) {
  const std::int64_t deadline = clock.monotonic_ns() + kChildTime.count() * kNsPerMs;
  std::string out;
  std::vector<std::uint8_t> bytes(256 << 10);
  for (;;) {
    const std::int64_t left_ms = (deadline - clock.monotonic_ns()) / kNsPerMs;
    if (left_ms <= 0) {
      return Error(Code::kModelCorrupt, "reading it took over a minute; do not use this file");
    }
    AIOSS_TRY(const std::size_t count,
              os::read_some(descriptor, bytes, std::chrono::milliseconds(left_ms)));
    if (count == 0) return out;
    out += as_text(std::span(bytes).first(count));
    if (out.size() > kInspectBytesMax) {
      return Error(Code::kModelCorrupt, "its description is absurdly long; do not use this file");
    }
  }
}

}  // namespace

Result<InspectReport> inspect_file(const Services& services, const std::string& path) {
  auto opened = services.files.open(path, os::OpenMode::kRead);
  if (!opened && opened.error().code == Code::kNotFound) {
    return Error(Code::kNotFound, "there is no such file");
  }
  AIOSS_TRY(const auto file, std::move(opened));
  AIOSS_TRY(const os::FileInfo facts, file->info());
  if (!facts.is_regular) return Error(Code::kUsage, "not a file");
  AIOSS_TRY(auto sockets, os::socket_pair());
  os::SpawnOptions spawn;
  spawn.executable = "/proc/self/exe";
  spawn.arguments = {"aioss", "worker", "--inspect"};
  spawn.descriptors = {{kInspectModelFd, file->descriptor()},
                       {kInspectOutputFd, sockets.second.get()}};
  AIOSS_TRY(auto child, os::Child::spawn(spawn));
  sockets.second.reset();  // so that the child's end is the only one
  AIOSS_TRY(const std::string json, read_all(sockets.first.get(), services.clock));
  const auto status = child.wait_for(kChildTime);
  if (json.empty()) {
    return Error(Code::kModelCorrupt, "the process that reads it ended with " +
                                          (status ? status->describe() : "no answer") +
                                          "; do not use this file");
  }
  return parse_inspect_report(json);
}

int inspect_command(const Services& services, const Invocation& invocation) {
  Console& console = services.console;
  const std::string path = invocation.operand(0);
  auto report = inspect_file(services, path);
  if (!report) {
    // Errors of the file system name the path already.
    const bool named = report.error().message.find(path) != std::string::npos;
    return console.fail(named ? report.error() : std::move(report).error().with_context(path));
  }
  std::string text;
  if (invocation.has("--template")) {
    if (!report->chat_template) {
      return console.fail({Code::kNotFound, path + " has no chat template"});
    }
    text = *report->chat_template;
    if (console.facts().output_is_terminal) text = safe_text(text, true);
    if (text.empty() || text.back() != '\n') text += '\n';
  } else if (invocation.has("--json")) {
    text = inspect_json(*report);
  } else {
    text = inspect_text(*report, console.table_columns(), console.facts().output_color);
  }
  return console.print(text);
}

}  // namespace aioss::cli
