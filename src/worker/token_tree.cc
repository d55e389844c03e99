#include "worker/token_tree.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace aioss::worker {

// The edge that leads to a node, and what lies below. Every node but the root holds a sequence's
// end or branches.
struct TokenTree::Node {
  Node() = default;
  ~Node() { std::fill(edge.begin(), edge.end(), Token{0}); }  // of somebody's prompt
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  std::vector<Token> edge;
  std::optional<Id> id;
  std::map<Token, std::unique_ptr<Node>> children;  // by the first token of their edges
};

std::size_t tokens_in_common(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  const auto [end, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<std::size_t>(end - a.begin());
}

TokenTree::TokenTree() : root_(std::make_unique<Node>()) {}
TokenTree::~TokenTree() = default;
TokenTree::TokenTree(TokenTree&&) noexcept = default;
TokenTree& TokenTree::operator=(TokenTree&&) noexcept = default;

void TokenTree::insert(std::span<const Token> tokens, Id id) {
  ASSERT(!tokens.empty());
  Node* node = root_.get();
  while (!tokens.empty()) {
    std::unique_ptr<Node>& child = node->children[tokens.front()];
    if (!child) {
      child = std::make_unique<Node>();
      child->edge.assign(tokens.begin(), tokens.end());
      child->id = id;
      return;
    }
    const std::size_t shared = tokens_in_common(child->edge, tokens);
    if (shared < child->edge.size()) {  // the edge is cut in two
      auto upper = std::make_unique<Node>();
      const auto cut = child->edge.begin() + static_cast<std::ptrdiff_t>(shared);
      upper->edge.assign(child->edge.begin(), cut);
      child->edge.erase(child->edge.begin(), cut);
      const Token first = child->edge.front();
      upper->children.emplace(first, std::move(child));
      child = std::move(upper);
    }
    node = child.get();
    tokens = tokens.subspan(shared);
  }
  ASSERT(!node->id);
  node->id = id;
}

void TokenTree::erase(std::span<const Token> tokens) {
  Node* parent = nullptr;
  Node* node = root_.get();
  while (!tokens.empty()) {
    const auto child = node->children.find(tokens.front());
    ASSERT(child != node->children.end() && tokens.size() >= child->second->edge.size());
    parent = std::exchange(node, child->second.get());
    tokens = tokens.subspan(node->edge.size());
  }
  ASSERT(parent != nullptr && node->id);
  node->id.reset();
  const auto merge_with_only_child = [this](Node& here) {
    if (&here == root_.get() || here.id || here.children.size() != 1) return;
    const std::unique_ptr<Node> only = std::move(here.children.begin()->second);
    here.edge.insert(here.edge.end(), only->edge.begin(), only->edge.end());
    here.id = only->id;
    here.children = std::move(only->children);
  };
  if (node->children.empty()) {
    parent->children.erase(node->edge.front());
    merge_with_only_child(*parent);
  } else {
    merge_with_only_child(*node);
  }
}

std::optional<TokenTree::Id> TokenTree::at(std::span<const Token> tokens) const {
  const Found found = find(tokens);
  return found.whole_tokens == tokens.size() ? found.whole : std::nullopt;
}

bool TokenTree::empty() const {
  return root_->children.empty();
}

std::size_t TokenTree::nodes() const {
  std::size_t count = 0;
  std::vector<const Node*> open{root_.get()};
  while (!open.empty()) {
    const Node* const node = open.back();
    open.pop_back();
    for (const auto& [first, child] : node->children) open.push_back(child.get());
    count += node->children.size();
  }
  return count;
}

TokenTree::Found TokenTree::find(std::span<const Token> prompt) const {
  Found found;
  const Node* node = root_.get();
  std::size_t agreed = 0;
  while (agreed < prompt.size()) {
    const auto child = node->children.find(prompt[agreed]);
    if (child == node->children.end()) break;
    const std::size_t shared = tokens_in_common(child->second->edge, prompt.subspan(agreed));
    agreed += shared;
    node = child->second.get();
    if (shared < node->edge.size()) break;
    if (node->id) {
      found.whole = node->id;
      found.whole_tokens = agreed;
    }
  }
  if (agreed == found.whole_tokens) return found;
  // Whatever lies below agrees as far; the nearest is the shortest on this way down.
  while (!node->id) node = node->children.begin()->second.get();
  found.part = node->id;
  found.part_tokens = agreed;
  return found;
}

}  // namespace aioss::worker
