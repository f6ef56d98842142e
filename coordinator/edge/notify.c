#include "notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base.h"
#include "common/log.h"

static bool send_datagram(int fd, const char *path, const char *state)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    if (n < 2 || n >= sizeof(to.sun_path) || (path[0] != '/' && path[0] != '@'))
        return false;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@')
        to.sun_path[0] = 0; /* an abstract socket */
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, len) >= 0;
}

void notify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    if (!path)
        return;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (!send_datagram(fd, path, state))
        LOG_WARN("the service manager cannot be told", log_str("state", state));
    close(fd);
}
