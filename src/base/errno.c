#include "base/base.h"

#include <errno.h>

ww_err ww_errno_err(int errnum)
{
    switch (errnum) {
    case 0:
        return WW_OK;
    case ENOMEM:
    case ENOBUFS:
        return WW_ENOMEM;
    case EMFILE:
    case ENFILE:
    case EFBIG:
    case ENOSPC:
    case EDQUOT:
    case EMSGSIZE:
        return WW_ELIMIT;
    case EINVAL:
    case ENOTDIR:
    case EISDIR:
    case ENAMETOOLONG:
    case ELOOP:
        return WW_EINVAL;
    case ENOENT:
    case ENXIO:
    case ENODEV:
        return WW_ENOTFOUND;
    case EEXIST:
        return WW_EEXIST;
    case EACCES:
    case EPERM:
    case EROFS:
        return WW_EDENIED;
    case EAGAIN:
    case EINTR:
        return WW_EAGAIN;
    case ETIMEDOUT:
        return WW_ETIMEOUT;
    case ECANCELED:
        return WW_ECANCELED;
    case EPIPE:
        return WW_ECLOSED;
    case ECONNRESET:
    case ECONNABORTED:
        return WW_ERESET;
    case ECONNREFUSED:
        return WW_EREFUSED;
    case EHOSTUNREACH:
    case ENETUNREACH:
#ifdef EHOSTDOWN /* not in WASI */
    case EHOSTDOWN:
#endif
    case ENETDOWN:
        return WW_EUNREACH;
    case EADDRINUSE:
        return WW_EADDRINUSE;
    case EADDRNOTAVAIL:
        return WW_EADDRNOTAVAIL;
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case EOPNOTSUPP:
    case ENOPROTOOPT:
    case ENOSYS:
        return WW_EUNSUPPORTED;
    default:
        return WW_EIO;
    }
}
