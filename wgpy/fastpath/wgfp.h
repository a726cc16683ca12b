/* The C data path, as Python sees it.
 *
 * The part between the two markers is also read by build.py, which hands it to cffi: plain
 * declarations only, no preprocessor lines.
 */
#ifndef WGFP_H
#define WGFP_H

/* cffi: begin */

/* The version of this interface. native.py refuses a library that says another one. */
int wgfp_abi_version(void);

/* cffi: end */

#endif
