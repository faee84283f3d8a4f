/* SPDX-License-Identifier: Apache-2.0 */
/* rondod's main. */
int main(void)
{
    return 0;
}
