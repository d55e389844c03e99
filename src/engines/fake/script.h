// The "model file" of the fake engine (`*.fake`): UTF-8 text, first line `aioss-fake 1`, then one
// `key value` a line; `#` begins a comment line. In a value \n, \t and \\ are escapes.
//
//   context N               tokens the model was "trained" for (default 4096)
//   template yes|no         whether it has a chat template (default yes)
//   reply TEXT              what it answers; several: one is chosen by a hash of the prompt
//   margin N                logits between the scripted token and the next best (default 32, so
//                           that no temperature up to 2 ever gives another)
//   delay_us_per_call N     time of a decode call, and for each token in it
//   delay_us_per_token N    (times the logits that are wanted of one sequence alone)
//   load_ms N               time of loading, with progress
//   stack_bytes_per_byte N  of the thread that tokenizes, for each byte of text
//   fail_load KIND          corrupt | memory | io | unsupported | crash: loading ends so
//   weight_bytes N          what plan and facts say (default: the size of the file)
//   memory KIND=N …         what plan says, in bytes: weights (as weight_bytes), kv of one cell of
//                           one stream (default 4), compute, vocabulary, overhead
//   device_lost_after N     every decode call of a session but the first N is AIOSS_E_FAILED
//   layers N                of which some may be on a GPU (AIOSS_FAKE_GPUS; default 1)
//   experts_percent N       so much of a layer's weights are experts (default 0: it has none)
//   fail_device yes         loading fails if any is
//   fail_placing yes        so does a dry run
//   fail_plan KIND          crash | hang | garbage | flood: what a dry run does instead
//   flash_percent N         with flash attention on, a call takes N % of its time (default 100)
//   crash_together MODE     on | off | any: abort() in a call with several sequences, with flash
//                           attention so
//   sabotage KIND           breaks one promise, to prove that the conformance suite sees it:
//                           again, neighbours, chunks, reuse, prefill, copy, load, graphs,
//                           abort, full, remove, leave; and what is no break, but must not pass
//                           for a proof: no_copy, no_company, no_cut (AIOSS_E_UNSUPPORTED from a
//                           copy; from a call with several sequences; from a cut of a part);
//                           leak: calls without adapters notice those that came before with some
//
// Prompt directives, recognised in the text of the prompt (not in replies); a user turn forgets
// those of the turns before it:
//
//   [[crash N]] [[segv N]] [[exit N]] [[fail N]]
//                           abort(), SIGSEGV, _exit(3), AIOSS_E_FAILED when the N-th token of the
//                           reply is decoded (0 or absent: at once, in the prefill)
//   [[lose N]]              AIOSS_E_FAILED likewise, if a layer is on a GPU: its device is lost
//   [[stall MS]]            every decode call with this sequence takes so much longer
//   [[echo]]                the reply is the last user message without its directives
//   [[reply TEXT]]          the reply is TEXT
//   [[long N]]              the reply is N bytes of lower-case words
//   [[empty]]               the reply is the end token alone
//   [[utf8]] [[badutf8]]    multi-byte characters and emoji; bytes that are not UTF-8
//   [[margin N]] [[nan]]    as above, for this sequence; logits that are not numbers
//
// An adapter (`*.lora.fake`) is such a text, too, with the first line `aioss-fake-lora 1`:
//
//   say TEXT                replies that are begun under it begin with TEXT; at another scale than
//                           1 with TEXT and `*SCALE`; before a space
//   name TEXT               for people
//   bytes N                 what its facts say (default: the size of the file)
//   load_ms N               time of loading
//   fail KIND               corrupt | memory | io | unsupported | crash: loading ends so
//   fail_use yes            AIOSS_E_FAILED from each call that it is used in
//
// A sequence whose tokens were computed under different adapters begins its replies with
// `[mixed adapters]`: a host that lets this happen is seen.
//
// For a model in GGUF it stands in: with as many tokens as the file has, and answers that are a
// hash of what came before, without an end. Nothing of the above is known then.
//
// Values; no threads of their own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace aioss::engines::fake {

// The vocabulary: byte tokens 0…255, then control tokens.
enum : std::int32_t {
  kTokenBos = 256,
  kTokenEos,
  kTokenSystem,
  kTokenUser,
  kTokenAssistant,  // opens the assistant's turn; the reply follows
  kTokenTool,
  kTokenDeveloper,
  kTokenEndOfTurn,
  kVocabularySize,
};
std::string_view control_name(std::int32_t token);  // "<|user|>", …

inline constexpr std::size_t kScriptBytesMax = std::size_t{1} << 20;  // far above any test's needs

struct Script {
  std::uint32_t context_tokens = 4096;
  bool has_template = true;
  std::vector<std::string> replies;
  float margin = 32.0F;
  std::uint32_t delay_us_per_call = 0;
  std::uint32_t delay_us_per_token = 0;
  std::uint32_t load_ms = 0;
  std::uint32_t stack_bytes_per_byte = 0;
  std::string fail_load;
  std::uint64_t weight_bytes = 0;
  std::uint64_t kv_bytes_per_cell = sizeof(std::int32_t);
  std::uint64_t compute_bytes = 0, vocabulary_bytes = 0, overhead_bytes = 0;
  std::string fail_plan;
  std::uint32_t device_lost_after = 0;  // decode calls; 0: never
  std::uint32_t gguf_tokens = 0;        // of the file that it stands in for; 0: it is a script
  std::uint32_t flash_percent = 100;
  std::string crash_together;
  std::uint32_t layers = 1;
  std::uint32_t experts_percent = 0;
  bool fail_device = false;
  bool fail_placing = false;
  std::vector<std::string> sabotage;

  std::uint32_t vocabulary() const {
    return gguf_tokens > 0 ? gguf_tokens : std::uint32_t{kVocabularySize};
  }
  bool sabotages(std::string_view kind) const;
  static Result<Script> parse(std::string_view text);
};

struct AdapterScript {
  std::string say, name, fail;
  std::uint64_t bytes = 0;
  std::uint32_t load_ms = 0;
  bool fail_use = false;
  std::uint64_t content = 0;  // a hash of the file

  static Result<AdapterScript> parse(std::string_view text);
};

// Of one decode call: none, or what the adapters together do.
struct Influence {
  std::uint64_t mark = 0;  // tells sets of adapters and scales apart; 0: none
  std::string say;

  void add(const AdapterScript& adapter, float scale);
};

enum class Fault : std::uint8_t { kNone, kCrash, kSegv, kExit, kFail, kLose };

// What the engine "knows" of one sequence: a function of its own tokens alone, kept incrementally.
class Sequence final {
 public:
  explicit Sequence(const Script& script) : script_(&script) {}

  // Adds one token; the fault that is due with it, if any.
  Fault push(std::int32_t token, const Influence& influence = {});
  void truncate(std::size_t length);  // replays what is left: O(length)
  void clear() { truncate(0); }
  // Script::vocabulary() logits for the token after the last.
  void logits(float* out) const;

  const std::vector<std::int32_t>& tokens() const { return tokens_; }
  // Under which influence each was pushed, and what those say.
  const std::vector<std::uint64_t>& marks() const { return marks_; }
  const std::map<std::uint64_t, std::string>& says() const { return says_; }
  std::uint32_t stall_ms() const { return directives_.stall_ms; }

  // For `sabotage`: something foreign that changes the logits a little.
  void taint(std::uint64_t value) { taint_ += value; }

 private:
  struct Directives {
    Fault fault = Fault::kNone;
    std::uint32_t fault_after = 0;
    std::uint32_t stall_ms = 0;
    bool echo = false;
    bool nan = false;
    bool has_reply = false;
    std::string reply;
    float margin = -1.0F;  // the script's
  };

  void read_prompt_byte(char byte);
  void apply_directive(std::string_view text);
  void begin_reply(const Influence& influence);
  std::int32_t next_token() const;
  std::int32_t next_hashed_token() const;
  std::int32_t next_word_token() const;

  const Script* script_;  // of the model, which outlives its sessions
  std::vector<std::int32_t> tokens_;
  std::vector<std::uint64_t> marks_;           // of tokens_
  std::map<std::uint64_t, std::string> says_;  // by mark
  bool mixed_ = false;
  std::uint64_t hash_ = 0;
  std::uint64_t taint_ = 0;
  Directives directives_;
  std::string bracket_;    // an unfinished [[directive
  std::string user_text_;  // since the last user marker, for echo
  bool in_reply_ = false;
  std::size_t reply_position_ = 0;
  std::string reply_;
};

}  // namespace aioss::engines::fake
