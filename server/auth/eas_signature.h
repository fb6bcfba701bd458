#pragma once

#include <string>
#include <string_view>

namespace spillway {

// PAI-EAS's SDKs don't send a token but a signature made with it:
//
//   Authorization: EAS base64(HMAC-SHA1(token, METHOD \n Content-MD5 \n Content-Type \n Date \n
//   PATH))
//
// To check one the token itself would be needed, which is nowhere kept. Instead is kept what HMAC
// makes of the token before it sees a message: the states of its two SHA-1s (RFC 2104, section 4).
// Whoever has them can sign as the token's owner, and not find out the token.
//
// As the SDKs have it, and therefore here: Date may be any time, since two of them send local time
// under the name of GMT, and Content-MD5 isn't compared with the body, since the third leaves its
// leading zeros out. So a signature that somebody overhears lets them call the same path for ever:
// no worse than a token, and no better.

// What is kept: 80 lower-case hex digits.
std::string EasKey(std::string_view token);
bool IsEasKey(std::string_view text);

// What is signed. Each as it was received, empty where it is missing; `path` from its slash on.
std::string EasSignedText(std::string_view method, std::string_view content_md5,
                          std::string_view content_type, std::string_view date,
                          std::string_view path);

// In constant time. False also where `signature` is no base64 of 20 bytes. Requires IsEasKey(key).
bool IsEasSignature(std::string_view signature, std::string_view key, std::string_view signed_text);

}  // namespace spillway
