/* What functions return that can fail: 0, or one of these. */
#ifndef WGFP_ERRORS_H
#define WGFP_ERRORS_H

/* cffi: begin */

enum wgfp_error {
    WGFP_ERR_INVALID = -1, /* an argument that the caller should not have given */
    WGFP_ERR_MEMORY = -2,  /* there is none, or a limit was reached; nothing has changed */
    WGFP_ERR_EXISTS = -3,  /* what was to be made is there already */
    WGFP_ERR_ABSENT = -4,  /* what was asked for is not there */
};

/* cffi: end */

#endif
