//! Signing in and out, and forms that waited for it.

use super::words;

words! {
    log_in
        en "Log in"
        es "Iniciar sesión"
    log_in_to(product: &str)
        en "Log in to {product}"
        es "Iniciar sesión en {product}"
    log_in_again
        en "Log in again"
        es "Iniciar sesión de nuevo"
    forgot_your_password
        en "Forgot your password?"
        es "¿Olvidó su contraseña?"
    not_you_sign_out
        en "Not you? Sign out"
        es "¿No es usted? Cerrar sesión"
    type_username_and_password
        en "Type your username and your password."
        es "Escriba su usuario y su contraseña."
    username_and_password_wrong
        en "That username and password don't match."
        es "El usuario y la contraseña no coinciden."

    // Why the page is shown.
    page_was_open_log_in
        en "This page was open for a while. Please log in now."
        es "Esta página estuvo abierta mucho tiempo. Inicie sesión ahora."
    signed_out_after(span: &str)
        en "You were signed out after {span} without activity."
        es "Su sesión se cerró después de {span} sin actividad."
    sign_in_lasts(span: &str)
        en "A sign-in lasts {span}. Please log in again."
        es "Una sesión dura {span}. Inicie sesión de nuevo."
    this_page
        en "This page"
        es "Esta página"
    closed_after(name: &str, span: &str)
        en "{name} was closed after {span} without activity. Please enter your password again."
        es "{name} se cerró después de {span} sin actividad. Escriba su contraseña de nuevo."
    sign_in_ended
        en "Your sign-in has ended. Please log in again."
        es "Su sesión ha terminado. Inicie sesión de nuevo."
    signed_out_idle
        en "You were signed out after a time without activity."
        es "Su sesión se cerró después de un tiempo sin actividad."
    sign_in_too_long
        en "Your sign-in has reached its longest time. Please log in again."
        es "Su sesión ha llegado a su duración máxima. Inicie sesión de nuevo."
    codes_wrong_too_often
        en "That code was wrong too often. Please start again with your password."
        es "El código fue incorrecto demasiadas veces. Empiece de nuevo con su contraseña."
    password_is_changed
        en "Your password is changed. Please log in with it."
        es "Su contraseña ha cambiado. Inicie sesión con ella."
    code_came_late
        en "The code was not entered in time. Please log in again."
        es "El código no se escribió a tiempo. Inicie sesión de nuevo."
    enrolled_already
        en "You have an authenticator already. Please log in with it."
        es "Usted ya tiene un método de verificación. Inicie sesión con él."
    factor_needed_here
        en "A second proof is needed here, and you have none yet. Please enter your password again to set it up."
        es "Aquí hace falta una segunda verificación y usted todavía no tiene ninguna. Escriba su contraseña de nuevo para configurarla."
    form_is_safe_after_log_in
        en "Your form is safe: you can send it after you have logged in."
        es "Su formulario está a salvo: podrá enviarlo cuando haya iniciado sesión."

    // Through a company's own provider.
    continue_with(provider: &str)
        en "Continue with {provider}"
        es "Continuar con {provider}"
    sign_in_through_company
        en "Sign in through your company"
        es "Iniciar sesión a través de su empresa"
    find_your_company
        en "Find your company"
        es "Encuentre su empresa"
    company_has_own_sign_in
        en "Your company has a sign-in of its own."
        es "Su empresa tiene su propio inicio de sesión."
    address_at_work
        en "Your e-mail address at work"
        es "Su correo electrónico del trabajo"
    no_company_of_address
        en "No company signs in here with such an address."
        es "Ninguna empresa inicia sesión aquí con una dirección así."
    company_signs_in_through(provider: &str)
        en "Your company signs in through {provider}, not with a password."
        es "Su empresa inicia sesión a través de {provider}, no con una contraseña."

    // Signing out.
    sign_out_question
        en "Sign out?"
        es "¿Cerrar sesión?"
    sign_out_lead
        en "This ends your sign-in in every application of this browser."
        es "Su sesión se cerrará en todas las aplicaciones de este navegador."
    you_are_signed_out
        en "You are signed out"
        es "Ha cerrado sesión"
    ended_in_every_application
        en "Your sign-in has ended in every application."
        es "Su sesión se cerró en todas las aplicaciones."
    companys_own_may_be_open
        en "Your company's own sign-in may still be open in this browser."
        es "La sesión propia de su empresa puede seguir abierta en este navegador."
    sign_out_of_too(provider: &str)
        en "Sign out of {provider} too"
        es "Cerrar sesión también en {provider}"

    // The launch page.
    no_application_yet
        en "There is no application for you yet. Your user manager can change that."
        es "Todavía no hay ninguna aplicación para usted. Su administrador de usuarios puede cambiarlo."
    company_in(product: &str)
        en "Company in {product}"
        es "Empresa en {product}"
    change_company
        en "Change company"
        es "Cambiar de empresa"
    company_is_changed
        en "The company is changed."
        es "La empresa ha cambiado."
    signed_in_as(login: &str)
        en "Signed in as {login}"
        es "Sesión iniciada como {login}"
    no_linked_account
        en "No linked account yet: pair yours"
        es "Todavía no hay una cuenta vinculada: vincule la suya"
    your_applications
        en "Your applications"
        es "Sus aplicaciones"

    // A form that waited.
    your_form_is_safe
        en "Your form is safe"
        es "Su formulario está a salvo"
    form_is_safe_send
        en "Your form is safe. Send it now?"
        es "Su formulario está a salvo. ¿Enviarlo ahora?"
    form_by_script(product: &str)
        en "A page of {product} sent this while you were not signed in."
        es "Una página de {product} envió esto mientras usted no tenía la sesión iniciada."
    form_by_you(product: &str)
        en "You sent this to {product} while you were not signed in, or before you had proved who you are."
        es "Usted envió esto a {product} sin tener la sesión iniciada, o antes de haber verificado su identidad."
    form_not_delivered
        en "It has not been delivered yet, and nobody else can see it."
        es "Todavía no se ha entregado y nadie más puede verlo."
    form_page
        en "Page"
        es "Página"
    form_size
        en "Size"
        es "Tamaño"
    form_sent
        en "Sent"
        es "Enviado"
    ago(span: &str)
        en "{span} ago"
        es "hace {span}"
    form_kept_for(span: &str)
        en "It is kept for {span} more, and is sent once."
        es "Se guarda durante {span} más y se envía una sola vez."
    send_it_now
        en "Send it now"
        es "Enviarlo ahora"
    another_form_waits
        en "Another form of yours waits, too"
        es "Hay otro formulario suyo esperando"
    form_is_lost_after_log_in
        en "What you sent could not be kept. Please fill it in again after you have logged in."
        es "Lo que envió no se pudo guardar. Rellénelo de nuevo cuando haya iniciado sesión."
    form_lost
        en "Your form could not be kept"
        es "Su formulario no se pudo guardar"
    form_lost_large(product: &str)
        en "It reached {product} when your sign-in had ended, or before you had proved who you are, and it is larger than what can be kept. It was not delivered."
        es "Llegó a {product} cuando su sesión había terminado, o antes de que usted verificara su identidad, y es más grande de lo que se puede guardar. No se entregó."
    form_lost_no_place(product: &str)
        en "It reached {product} when you were not signed in, or before you had proved who you are, and there was no place to keep it. It was not delivered."
        es "Llegó a {product} cuando usted no tenía la sesión iniciada, o antes de verificar su identidad, y no había dónde guardarlo. No se entregó."
    form_lost_remedy
        en "Nothing was changed. Please fill it in once more."
        es "No se cambió nada. Rellénelo una vez más, por favor."
    back_to(product: &str)
        en "Back to {product}"
        es "Volver a {product}"
    throw_it_away
        en "Throw it away"
        es "Descartarlo"
    form_for_other_company(product: &str, company: &str, current: &str)
        en "You filled it in in {product} for the company {company}, and you are working for {current} now. It is sent for the company that it was filled in for, or not at all."
        es "Usted lo rellenó en {product} para la empresa {company} y ahora trabaja para {current}. Se envía para la empresa para la que se rellenó, o no se envía."
    go_back_to(company: &str)
        en "Go back to {company}"
        es "Volver a {company}"
}
