#include "ringbuf/schedule_point.h"

namespace vmbus::ring {

constinit ScheduleHooks* g_schedule_hooks = nullptr;

}  // namespace vmbus::ring
