// SchedulePoint: where a test's scheduler may put another thread in between, in a build with the option
// VMBUS_SCHEDULE_POINTS: before each access to shared memory, each system call of the shim's, and each pause of
// a spin. Nothing at all in any other build.
//
// Used by     tests/schedule/, which runs programs and the daemon as fibers of one thread.
#ifndef VMBUS_RINGBUF_SCHEDULE_POINT_H_
#define VMBUS_RINGBUF_SCHEDULE_POINT_H_

#ifdef VMBUS_SCHEDULE_POINTS

namespace vmbus::ring {

// What a scheduler is told, before it happens.
class ScheduleHooks {
 public:
  virtual void on_access(const void* word, bool changes) = 0;
  // True: the call was made, or stood in for, and this is its result.
  virtual bool on_call(long number, const long (&arguments)[6], long* result) = 0;
  virtual void on_pause() = 0;

 protected:
  ~ScheduleHooks() = default;
};

// Null: nobody schedules. Set before the threads that are scheduled, and by the only thread there is.
extern constinit ScheduleHooks* g_schedule_hooks;

// One word, or the first byte of what is copied.
class SchedulePoint {
 public:
  explicit SchedulePoint(const void* word) : word_(word) {}
  void load() const { access(false); }
  void store() const { access(true); }

 private:
  void access(bool changes) const {
    if (g_schedule_hooks != nullptr) g_schedule_hooks->on_access(word_, changes);
  }
  const void* word_;
};

inline bool schedule_call(long number, const long (&arguments)[6], long* result) {
  return g_schedule_hooks != nullptr && g_schedule_hooks->on_call(number, arguments, result);
}

inline void schedule_pause() {
  if (g_schedule_hooks != nullptr) g_schedule_hooks->on_pause();
}

// How often something is looked at in a row: once, because others run in each pause.
constexpr int looks(int) { return 1; }

}  // namespace vmbus::ring

#else

namespace vmbus::ring {

class SchedulePoint {
 public:
  constexpr explicit SchedulePoint(const void*) {}
  void load() const {}
  void store() const {}
};

inline bool schedule_call(long, const long (&)[6], long*) { return false; }
inline void schedule_pause() {}
constexpr int looks(int count) { return count; }

}  // namespace vmbus::ring

#endif
#endif  // VMBUS_RINGBUF_SCHEDULE_POINT_H_
