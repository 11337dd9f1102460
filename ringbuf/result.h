// Result<T, E>: a value or an error code; the part of std::expected that ringbuf, protocol and shim
// use.
//
// Freestanding: no exceptions, no allocation. E is an enumeration. A Result<void, E> is success or
// an error. Reading value() of an error (or error() of a value) is a bug of ours and is asserted.
#ifndef VMBUS_RINGBUF_RESULT_H_
#define VMBUS_RINGBUF_RESULT_H_

#include <cassert>
#include <type_traits>
#include <utility>

namespace vmbus {

template <typename E>
struct Failure {
  E error;
};

template <typename E>
Failure(E) -> Failure<E>;

template <typename T, typename E>
class [[nodiscard]] Result {
  static_assert(std::is_enum_v<E>);
  static_assert(std::is_default_constructible_v<T>, "the error state holds an unused T");

 public:
  // NOLINTBEGIN(google-explicit-constructor): implicit, as in std::expected
  constexpr Result(T value) : value_(std::move(value)), ok_(true) {}
  constexpr Result(Failure<E> failure) : error_(failure.error) {}
  // NOLINTEND(google-explicit-constructor)

  constexpr bool ok() const { return ok_; }
  constexpr explicit operator bool() const { return ok_; }
  constexpr const T& value() const& {
    assert(ok_);
    return value_;
  }
  constexpr T& value() & {
    assert(ok_);
    return value_;
  }
  constexpr T&& value() && {
    assert(ok_);
    return std::move(value_);
  }
  constexpr const T& operator*() const& { return value(); }
  constexpr T& operator*() & { return value(); }
  constexpr T&& operator*() && { return std::move(*this).value(); }
  constexpr const T* operator->() const { return &value(); }
  constexpr T* operator->() { return &value(); }
  constexpr E error() const {
    assert(!ok_);
    return error_;
  }

 private:
  T value_{};
  E error_{};
  bool ok_ = false;
};

template <typename E>
class [[nodiscard]] Result<void, E> {
  static_assert(std::is_enum_v<E>);

 public:
  constexpr Result() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): implicit, as in std::expected
  constexpr Result(Failure<E> failure) : error_(failure.error), ok_(false) {}

  constexpr bool ok() const { return ok_; }
  constexpr explicit operator bool() const { return ok_; }
  constexpr E error() const {
    assert(!ok_);
    return error_;
  }

 private:
  E error_{};
  bool ok_ = true;
};

}  // namespace vmbus

#endif  // VMBUS_RINGBUF_RESULT_H_
