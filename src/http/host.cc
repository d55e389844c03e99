#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "http/server.h"
#include "http/text.h"

namespace aioss::http {
namespace {

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_loopback_v6(std::string_view literal) {
  boost::system::error_code error;
  const auto address = net::ip::make_address_v6(std::string(literal), error);
  if (error || address.scope_id() != 0) return false;
  if (!address.is_v4_mapped()) return address.is_loopback();
  return net::ip::make_address_v4(net::ip::v4_mapped, address).is_loopback();
}

}  // namespace

std::string url_host(const std::string& host) {
  const bool bare_v6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return bare_v6 ? "[" + host + "]" : host;
}

bool host_is_loopback(std::string_view host) {
  if (host.starts_with('[')) {
    const std::size_t close = host.find(']');
    if (close == std::string_view::npos) return false;
    const std::string_view rest = host.substr(close + 1);
    if (!rest.empty() && (rest.front() != ':' || !is_port(rest.substr(1)))) return false;
    return is_loopback_v6(host.substr(1, close - 1));
  }
  const std::size_t colon = host.find(':');
  if (colon != std::string_view::npos) {
    if (!is_port(host.substr(colon + 1))) return false;
    host = host.substr(0, colon);
  }
  if (iequals(host, "localhost")) return true;
  boost::system::error_code error;
  const auto address = net::ip::make_address_v4(std::string(host), error);
  return !error && address.is_loopback();
}

}  // namespace aioss::http
