// echo_fd FD: sends back what arrives on descriptor FD until its end, by read and write alone.
//
// Linked statically it is a program that no preloaded library reaches.
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char** argv) {
  const int fd = argc == 2 ? atoi(argv[1]) : -1;
  char buffer[4096];
  ssize_t count;
  while ((count = read(fd, buffer, sizeof buffer)) > 0) {
    for (ssize_t done = 0; done < count;) {
      const ssize_t written = write(fd, buffer + done, (size_t)(count - done));
      if (written < 0) return 2;
      done += written;
    }
  }
  return count == 0 ? 0 : 1;
}
